"""The service under load, the bulk command and the page, against what the machine allows."""
