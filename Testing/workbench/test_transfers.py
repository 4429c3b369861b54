"""Files that come in and go out: names, places, sizes, archives."""

import asyncio
import io
import zipfile

import pytest

pytest.importorskip("aiohttp")
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from valor_workbench.transfers import Downloads, Uploads, check_scene_archive, inside, safe_name
from valorlib.core.errors import InputError


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("scan.nrrd", "scan.nrrd"),
        ("../../etc/scan.nii.gz", "scan.nii.gz"),
        ("..\\..\\boot\\scan.mha", "scan.mha"),
        ("/abs/olute/scan.NRRD", "scan.NRRD"),
        ("<img src=x onerror=alert(1)>.nrrd", "_img src_x onerror_alert_1__.nrrd"),
        ("a\0b\n.nrrd", "a_b_.nrrd"),
        ("...hidden.nrrd", "hidden.nrrd"),
        ("x" * 300 + ".nii.gz", "x" * 112 + ".nii.gz"),
    ],
)
def test_a_name_becomes_one_harmless_file_name(given, kept):
    assert safe_name(given) == kept


@pytest.mark.parametrize("name", ["", "..", "/", ".", "\0", "run.sh", "page.html", "scan.nrrd.exe", "lib.so"])
def test_a_name_that_is_none_or_of_another_kind_is_refused(name):
    with pytest.raises(InputError):
        safe_name(name)


def test_only_places_inside_the_folders_are_opened(tmp_path):
    root, other = tmp_path / "root", tmp_path / "other"
    (root / "deep").mkdir(parents=True)
    other.mkdir()
    (root / "scan.nrrd").touch()
    (other / "secret.nrrd").touch()
    (root / "link.nrrd").symlink_to(other / "secret.nrrd")
    assert inside("scan.nrrd", [root]) == (root / "scan.nrrd").resolve()
    assert inside(str(root / "deep" / ".." / "scan.nrrd"), [root]) == (root / "scan.nrrd").resolve()
    for path in (
        "../other/secret.nrrd",
        str(other / "secret.nrrd"),
        "link.nrrd",
        "/etc/passwd",
        "",
        "a\0b",
        "x" * 9999,
    ):
        with pytest.raises(InputError):
            inside(path, [root])
    with pytest.raises(InputError, match="no such"):
        inside("missing.nrrd", [root])


def archive(path, files):
    with zipfile.ZipFile(path, "w") as made:
        for name, text in files.items():
            made.writestr(name, text)
    return path


def test_a_scene_that_stays_inside_itself_is_accepted(tmp_path):
    text = '<Volume fileName="Data/scan.nrrd"/>'
    check_scene_archive(archive(tmp_path / "a.mrb", {"s/a.mrml": text, "s/Data/scan.nrrd": ""}))


@pytest.mark.parametrize(
    "reference",
    ["/etc/passwd", "../../secret.nrrd", "http://evil.example/x.nrrd", "file:///etc/passwd", "C:\\x.nrrd", "~/x"],
)
def test_a_scene_that_reaches_out_is_refused(tmp_path, reference):
    for attribute in ("fileName", "uri", "fileListMember0"):
        text = f'<Volume {attribute}="{reference}"/>'
        with pytest.raises(InputError, match="outside itself"):
            check_scene_archive(archive(tmp_path / "a.mrb", {"s/a.mrml": text}))


def test_a_scene_that_is_damaged_too_large_or_climbs_out_is_refused(tmp_path):
    broken = tmp_path / "b.mrb"
    broken.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(InputError, match="damaged"):
        check_scene_archive(broken)
    with pytest.raises(InputError, match="unpacked"):
        check_scene_archive(archive(tmp_path / "c.mrb", {"a.mrml": "x" * 100}), limit=50)
    with pytest.raises(InputError, match="outside its folder"):
        check_scene_archive(archive(tmp_path / "d.mrb", {"../a.mrml": ""}))
    with pytest.raises(InputError, match="one scene"):
        check_scene_archive(archive(tmp_path / "e.mrb", {"a.txt": ""}))


def serve(folder, check, **settings):
    """Run check(client, taken): taken gets the files of each finished batch."""

    async def go():
        taken, app, downloads = [], web.Application(), Downloads()

        async def take(files):
            taken.append(files)

        Uploads(folder, take, **settings).install(app)
        downloads.install(app)
        async with TestClient(TestServer(app)) as client:
            await check(client, taken, downloads)

    asyncio.run(go())


def test_an_upload_arrives_under_a_harmless_name_in_the_sessions_folder(tmp_path):
    async def check(client, taken, downloads):
        answer = await client.post("/upload", params={"name": "../../x.nrrd", "batch": "b1"}, data=b"voxels")
        assert answer.status == 200
        answer = await client.post("/upload", params={"name": "other/x.nrrd", "batch": "b1"}, data=b"more")
        assert answer.status == 200
        assert (await client.post("/upload/done", params={"batch": "b1"})).status == 200
        assert [file.name for file in taken[0]] == ["x.nrrd", "00001-x.nrrd"]
        assert all(file.parent == tmp_path / "upload-b1" for file in taken[0])
        assert taken[0][0].read_bytes() == b"voxels"

    serve(tmp_path, check)


@pytest.mark.parametrize("in_pieces", [False, True])
def test_an_oversized_upload_is_refused_and_leaves_nothing(tmp_path, in_pieces):
    async def check(client, taken, downloads):
        async def pieces():
            for _ in range(10):
                yield b"x" * 200_000

        data = pieces() if in_pieces else io.BytesIO(b"x" * 2_000_000)
        answer = await client.post("/upload", params={"name": "x.nrrd", "batch": "b1"}, data=data)
        assert answer.status == 400
        assert "at most 1 MB" in (await answer.json())["error"]
        assert list(tmp_path.iterdir()) == []
        assert (await client.post("/upload/done", params={"batch": "b1"})).status == 400
        assert taken == []

    serve(tmp_path, check, limit=1_000_000)


@pytest.mark.parametrize("batch", ["../up", "", "UP", "a" * 40, "a/b"])
def test_a_forged_batch_name_makes_no_folder(tmp_path, batch):
    async def check(client, taken, downloads):
        answer = await client.post("/upload", params={"name": "x.nrrd", "batch": batch}, data=b"x")
        assert answer.status == 400
        assert list(tmp_path.iterdir()) == []

    serve(tmp_path, check)


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    async def check(client, taken, downloads):
        async def full(self, request, batch, target):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Uploads, "_stream", full)
        answer = await client.post("/upload", params={"name": "x.nrrd", "batch": "b1"}, data=b"x")
        assert answer.status == 507
        assert "disk" in (await answer.json())["error"]
        assert list(tmp_path.iterdir()) == []

    serve(tmp_path, check)


def test_a_download_is_found_under_its_secret_address_alone(tmp_path):
    path = tmp_path / "r.zip"
    path.write_bytes(b"result")

    async def check(client, taken, downloads):
        url = downloads.offer(path, "result <x>.zip")
        answer = await client.get(url)
        assert await answer.read() == b"result"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="result _x_.zip"'
        for other in ("/download/guess/r.zip", "/download/../r.zip", "/download/%2e%2e/r.zip"):
            assert (await client.get(other)).status == 404

    serve(tmp_path, check)
