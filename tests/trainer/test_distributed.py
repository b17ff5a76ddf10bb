"""Two processes train what one process trains with the same batch; if one is killed, they go on.

In double precision, so that nothing but the order of sums differs between one process and two.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from torch import nn
from torch.distributed import HashStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import Store
from torch.distributed.run import parse_args

from tests.trainer.tiny import ALONE, TINY, bar_digits, run_script, train_in_double, train_on_bars
from trainer.data.training_scenes import TrainingScenes
from trainer.losses import mean_where_present
from trainer.model import NO_DIGIT
from trainer.runtime.distributed import Processes
from trainer.runtime.torch_workarounds import agree_on_a_name
from trainer.training.checkpoint import CHECKPOINT_NAME, load_checkpoint
from trainer.training.loop import train
from trainer.training.normalisation import SharedBatchNorm, share_normalisation

# So many without a digit that the two processes have different numbers of them.
RECIPE = dataclasses.replace(TINY, steps=5, batch_size=16, without_digit=0.25, checkpoint_every=2)
PAIR = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
PREPARE = """
from tests.trainer.tiny import train_in_double
train_in_double(pytest.MonkeyPatch())
rank, restarts = os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]
started = loop.resume
def note_the_start(trainer, *args):
    seconds = started(trainer, *args)
    with (folder / f"starts{rank}").open("a") as stream:
        stream.write(f"{restarts} {trainer.step}\\n")
    global learner
    learner = trainer
    return seconds
loop.resume = note_the_start
"""
KILL_ONE = """
advance = loop.Trainer.advance
def advance_or_die(self):
    if (rank, restarts, self.step) == ("1", "0", 3):
        os.kill(os.getpid(), signal.SIGKILL)
    return advance(self)
loop.Trainer.advance = advance_or_die
"""
TRAIN = """
loop.train(preset, folder / "run", device="cpu")
torch.save(learner.state(), folder / f"rank{rank}.pt")
"""


def curve(run: Path) -> list[dict[str, float]]:
    """What a run wrote down of each step, but for how fast it was."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: v for name, v in line.items() if name != "scenes_per_second"} for line in lines]


def tensors(state: Any, at: str = "") -> dict[str, torch.Tensor]:
    """All tensors of a nested state by their place in it."""
    if isinstance(state, torch.Tensor):
        return {at: state}
    inner = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list) else ()
    return {name: value for key, part in inner for name, value in tensors(part, f"{at}/{key}").items()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `RECIPE` by one process."""
    with pytest.MonkeyPatch.context() as patch:
        train_on_bars(patch)
        train_in_double(patch)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        run = train(RECIPE, tmp_path_factory.mktemp("alone") / "run", device="cpu")
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
    return run


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of `RECIPE` by two processes that torchrun started."""
    folder = tmp_path_factory.mktemp("shared")
    done = run_script(PREPARE + TRAIN, folder, *PAIR, recipe=RECIPE)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_two_processes_train_what_one_trains_with_the_same_batch(alone: Path, shared: Path) -> None:
    state = load_checkpoint(shared / "run")
    assert (state["step"], state["about"]["processes"]) == (5, 2)
    found, expected = tensors(state), tensors(load_checkpoint(alone))
    assert found.keys() == expected.keys()
    assert found["/model/classifier.head.weight"].dtype == torch.float64
    differences = {name: (found[name] - value).abs().max().item() for name, value in expected.items()}
    # What is written of a step is single precision, and the calibration is fitted to a tolerance.
    fitted = {name for name in differences if "calibration" in name}
    assert max(differences[name] for name in differences.keys() - fitted) < 1e-9
    assert max(differences[name] for name in fitted) < 1e-4
    for line, other in zip(curve(shared / "run"), curve(alone), strict=True):
        assert line == pytest.approx(other, rel=2e-6)  # as many digits as are written


@pytest.mark.slow
def test_both_processes_hold_the_same_weights_statistics_and_memory(shared: Path) -> None:
    one, other = (tensors(torch.load(shared / f"rank{rank}.pt")) for rank in (0, 1))
    assert one.keys() == other.keys()
    for name in one.keys() - {name for name in one if "calibration" in name}:  # fitted by who writes alone
        assert torch.equal(one[name], other[name]), name


@pytest.mark.slow
def test_a_worker_that_is_killed_is_started_anew_and_the_run_ends_as_if_nothing_had_been(
    shared: Path, tmp_path: Path
) -> None:
    # A kill that nothing can catch, before step 4: the checkpoint is of step 2, the metrics are of step 3.
    script = PREPARE + KILL_ONE + TRAIN
    done = run_script(script, tmp_path, *PAIR, "--max-restarts", "1", recipe=RECIPE)
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        assert (tmp_path / f"starts{rank}").read_text().splitlines() == ["0 0", "1 2"]
        assert (shared / f"starts{rank}").read_text().splitlines() == ["0 0"]
    found, expected = (tensors(load_checkpoint(folder / "run")) for folder in (tmp_path, shared))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert curve(tmp_path / "run") == curve(shared / "run")


def test_a_folder_that_the_processes_do_not_share_is_refused(
    tiny_run: Path, tmp_path: Path, bars: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / CHECKPOINT_NAME).write_bytes((tiny_run / CHECKPOINT_NAME).read_bytes())
    monkeypatch.setattr(Processes, "gather", lambda self, step: [step, 0])  # the other one found nothing
    with pytest.raises(ValueError, match=r"one folder that all processes share, .* at steps \[6, 0\]"):
        train(TINY, tmp_path, device="cpu")


def test_the_mean_over_a_shared_batch_is_the_mean_of_the_processes_means() -> None:
    terms = torch.tensor([1.0, 2.0, 4.0, 100.0])
    labels = torch.tensor([5, 5, 5, NO_DIGIT])
    whole = mean_where_present(terms, labels)
    present = torch.tensor(1.5)  # three scenes with a digit, two processes
    shares = [mean_where_present(terms[i::2], labels[i::2], present) for i in (0, 1)]
    assert torch.stack(shares).mean().item() == pytest.approx(whole.item()) == pytest.approx(7 / 3)
    # The mean of each one's own mean is another number.
    assert (mean_where_present(terms[0::2], labels[0::2]) + 2.0) / 2 == pytest.approx(2.25)


def test_all_processes_know_how_many_scenes_of_the_whole_batch_have_a_digit() -> None:
    def scenes(rank: int, world: int, without_digit: float = 0.25) -> TrainingScenes:
        return TrainingScenes(
            {"clean": 1.0},
            bar_digits(),
            batch_size=12,
            seed=3,
            device=ALONE.device,
            rank=rank,
            world=world,
            without_digit=without_digit,
        )

    assert scenes(0, 1).present(7) is None
    labels = scenes(0, 1).batch(7).labels
    with_digit = int((labels != NO_DIGIT).sum())
    assert 0 < with_digit < 12
    for rank in range(3):
        present = scenes(rank, 3).present(7)
        assert present is not None
        assert present.item() == pytest.approx(with_digit / 3)
    none = scenes(1, 3, without_digit=1.0).present(7)
    assert none is not None
    assert none.item() == pytest.approx(1 / 3)  # no division by nought


def names_of(store: Store, world: int) -> set[str]:
    """What the processes of one start agree on, here threads; the first one comes last."""
    with ThreadPoolExecutor(world) as pool:
        others = [pool.submit(agree_on_a_name, store, rank, world) for rank in range(1, world)]
        first = agree_on_a_name(store, 0, world)
        return {first, *(other.result(timeout=60) for other in others)}


def test_every_start_has_a_name_of_its_own_though_dead_processes_left_theirs() -> None:
    store = HashStore()
    starts = [names_of(store, world) for world in (3, 3, 2)]
    # One that died before all had come.
    store.set("first", "dead")
    store.set("dead/1", "nobody")
    starts.append(names_of(store, 3))
    assert [len(names) for names in starts] == [1, 1, 1, 1]
    assert len(set.union(*starts)) == 4


@pytest.fixture
def group_of_one(tmp_path: Path) -> Iterator[None]:
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.BatchNorm2d(3), (4, 3, 5, 6)), (nn.BatchNorm1d(3), (8, 3))], ids=["2d", "1d"]
)
def test_the_layer_does_what_the_one_does_that_it_stands_for(
    layer: nn.BatchNorm1d | nn.BatchNorm2d, shape: tuple[int, ...], group_of_one: None
) -> None:
    torch.manual_seed(0)
    nn.init.normal_(layer.weight)
    pictures = 3 * torch.randn(shape) + 100  # a mean from which squares would lose digits
    shared = SharedBatchNorm(copy.deepcopy(layer), ALONE)
    for found, expected in zip(passes(shared, pictures), passes(layer, pictures), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    half, whole = shared.train()(pictures.bfloat16()), layer.train()(pictures)
    assert half.dtype == torch.bfloat16
    assert (half.float() - whole).abs().max() < 0.5  # bfloat16 tells 100 from 100.5


def passes(layer: nn.Module, pictures: torch.Tensor) -> list[torch.Tensor]:
    """What a layer makes of pictures in training and after it, its gradients, and what it remembers."""
    given = pictures.clone().requires_grad_()
    out = layer.train()(given)
    (out.square() * torch.linspace(1, 2, out.numel()).view(out.shape)).sum().backward()
    assert given.grad is not None
    gradients = [given.grad, *(p.grad for p in layer.parameters() if p.grad is not None)]
    assert len(gradients) == 3
    return [out, *gradients, layer.eval()(pictures), *layer.buffers()]


def test_each_layer_is_shared_and_none_where_one_process_trains() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), nn.BatchNorm1d(3))
    names = list(model.state_dict())
    share_normalisation(model, ALONE)
    assert not any(isinstance(module, SharedBatchNorm) for module in model.modules())
    share_normalisation(model, Processes(1, 2, ALONE.device))
    assert sum(isinstance(module, SharedBatchNorm) for module in model.modules()) == 2
    assert list(model.state_dict()) == names


def test_torchrun_hands_on_what_the_readme_gives_the_trainer() -> None:
    page = (Path(__file__).resolve().parents[2] / "trainer" / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^torchrun (.*)$", page.replace("\\\n", " "), re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        words = shlex.split(command, comments=True)
        read = parse_args(words)
        assert (read.module, read.training_script) == (True, "trainer")
        assert read.training_script_args == words[words.index("trainer") + 1 :]
