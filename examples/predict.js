// Ask a running service from Node 20 or newer: node predict.js [PICTURE] [ADDRESS]
// Without a picture, the service draws a scene first. `predict` also runs in a browser, on a File from an <input>;
// a page from another address needs GLIMPSE_CORS_ORIGINS to name it.

async function predict(picture, address, key) {
  const form = new FormData();
  form.append("image", picture, "picture");
  const response = await fetch(`${address}/predict?maps=none`, {
    method: "POST",
    body: form,
    headers: key ? { Authorization: `Bearer ${key}` } : {},
  });
  const answer = await response.json();
  // Every error carries a sentence that says what was wrong.
  if (!response.ok) throw new Error(`${response.status}: ${answer.detail}`);
  return answer;
}

async function main([file, given]) {
  const { openAsBlob } = await import("node:fs");
  const address = given ?? process.env.GLIMPSE_ADDRESS ?? "http://127.0.0.1:8000";
  const key = process.env.GLIMPSE_API_KEY;
  let picture;
  if (file) {
    picture = await openAsBlob(file);
  } else {
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    picture = await (await fetch(`${address}/synthesize?digit=3&clutter=6&seed=7`, { headers })).blob();
  }
  const { label, confidence, bbox } = await predict(picture, address, key);
  const box = Object.fromEntries(Object.entries(bbox).map(([name, px]) => [name, Math.round(px)]));
  console.log(
    `a ${label} with ${Math.round(confidence * 100)}%, ${box.width} × ${box.height} px at (${box.x}, ${box.y})`,
  );
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
