#!/usr/bin/env python3
"""Checks an evidence bundle with Python's standard library alone: a second opinion beside `callgate evidence verify`.

    verify.py BUNDLE.zip [PUBLIC-KEY...]    exit 0: verified; 1: not, and why; 2: usage

Written from the formats' own descriptions: RFC 8032 (Ed25519), RFC 6962 (Merkle trees), C2SP signed-note, tlog-checkpoint
and tlog-proof, and docs/evidence.md. It shares no code with callgate.
"""
import base64, hashlib, json, sys, zipfile
from urllib.parse import unquote

BYTES_MAX = 64 * 1024 * 1024
FORMAT = "callgate-evidence@v1"
DOCUMENTS = ["evidence.json", "index.html", "records.jsonl"]
CHAIN = ["chain/checkpoint.txt", "chain/entries.jsonl", "chain/key.txt"]


class Wrong(Exception):
    pass


def must(holds, why):
    if not holds:
        raise Wrong(why)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# --- Ed25519, RFC 8032 §5.1 and §6 -------------------------------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)


def add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    w, x, y, z = f - e, d - c, d + c, f + e
    return (w * x % P, y * z % P, x * y % P, w * z % P)


def times(n, point):
    out = (0, 1, 1, 0)
    while n:
        out, point, n = add(out, point) if n & 1 else out, add(point, point), n >> 1
    return out


def point(raw):
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    must(y < P, "a point of the signature is none")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * ROOT_OF_MINUS_1 % P
    must((x * x - square) % P == 0 and not (x == 0 and sign), "a point of the signature is none")
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


def same(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def is_signed(key, text, signature):
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(r + key + text).digest(), "little") % L
    return len(signature) == 64 and s < L and same(times(s, BASE), add(point(r), times(h, point(key))))


# --- notes, trees, bundles ---------------------------------------------------------------------------------------------

def unbase64(text):
    raw = base64.b64decode(text, validate=True)
    must(base64.b64encode(raw).decode() == text, "base64 that is not written as it should be")
    return raw


def read(path):
    with zipfile.ZipFile(path) as bundle:
        listed = bundle.infolist()
        must(len({one.filename for one in listed}) == len(listed), "the zip holds a file twice")
        must(sum(one.file_size for one in listed) <= BYTES_MAX, "the zip is larger than any bundle")
        return {one.filename: bundle.read(one) for one in listed}


def public(text):
    name, number, key = text.split("+", 2)
    raw = unbase64(key)
    must(len(raw) == 33 and raw[0] == 1 and sha256(name.encode(), b"\n", raw)[:4].hex() == number, "the key is none")
    return name, bytes.fromhex(number), raw[1:]


def checkpoint(note, name, number, key):
    text, dashes = note.decode().rsplit("\n\n", 1)
    text = (text + "\n").encode()
    must(dashes.endswith("\n"), "the checkpoint is not whole")
    signatures = [line.removeprefix("\u2014 ").split(" ") for line in dashes[:-1].split("\n")]
    ours = [unbase64(raw)[4:] for who, raw in signatures if who == name and unbase64(raw)[:4] == number]
    must(ours and is_signed(key, text, ours[-1]), "the checkpoint's signature does not hold")
    origin, size, root = text.decode().split("\n")[:3]
    must(origin.startswith(name + "/") and str(int(size)) == size, "the checkpoint is not of a chain of this key's")
    return unquote(origin[len(name) + 1:]), int(size), unbase64(root)


def root_of(leaf, index, size, path):
    """RFC 9162 §2.1.3.2, which is RFC 6962's tree."""
    must(index < size, "a proof is of no entry in the tree")
    last = size - 1
    for beside in path:
        must(last > 0, "a proof is too long")
        if index & 1 or index == last:
            leaf = sha256(b"\x01", beside, leaf)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            leaf = sha256(b"\x01", leaf, beside)
        index, last = index >> 1, last >> 1
    must(last == 0, "a proof is too short")
    return leaf


def is_proven(proof, note, seq, leaf, size, root):
    head, rest = proof.split(b"\n\n", 1)
    lines = head.decode().split("\n")
    must(rest == note, f"the proof of entry {seq} is for another checkpoint")
    must(lines[:2] == ["c2sp.org/tlog-proof@v1", f"index {seq - 1}"], f"the proof of entry {seq} is another's")
    must(root_of(leaf, seq - 1, size, [unbase64(line) for line in lines[2:]]) == root, f"entry {seq} is not in the tree")


def commits(salt, value):
    return sha256(b"\x02", bytes.fromhex(salt), value).hex()


def verify(path, *given):
    return check(read(path), *given)


def check(files, *given):
    for name in DOCUMENTS + CHAIN + ["manifest.json"]:
        must(name in files, f"{name} is missing")
    key = files["chain/key.txt"].decode()
    must(key.endswith("\n") and (not given or key[:-1] in given), "the bundle is signed by another key")
    note = files["chain/checkpoint.txt"]
    org, size, root = checkpoint(note, *public(key[:-1]))
    raw = files["chain/entries.jsonl"].split(b"\n")
    must(raw.pop() == b"" and raw, "the entries are cut")
    entries, before = [json.loads(line) for line in raw], (0, b"")
    for line, entry in zip(raw, entries):
        seq, leaf = entry["seq"], sha256(b"\x00", line)
        must(seq > before[0], f"entry {seq} is not in its place")
        must(f"chain/{seq}.tlog-proof" in files, f"entry {seq} has no proof")
        is_proven(files[f"chain/{seq}.tlog-proof"], note, seq, leaf, size, root)
        must(entry["orgId"] == org, f"entry {seq} is of another chain")
        must(seq != before[0] + 1 or seq == 1 or entry["prev"] == before[1].hex(), f"entry {seq} does not follow the one before")
        before = (seq, leaf)
    proofs = {f"chain/{entry['seq']}.tlog-proof" for entry in entries}
    must(set(files) == proofs.union(DOCUMENTS, CHAIN, ["manifest.json"]), "a file does not belong")

    own, raw_manifest = entries[-1], files["manifest.json"]
    must(own["kind"] == "evidence.exported", "the last entry is not the export's own")
    manifest = json.loads(raw_manifest)
    must(own["detail"]["commitment"] == commits(manifest["salt"], raw_manifest), "manifest.json is not the one that was exported")
    must(sorted(manifest["files"]) == DOCUMENTS and manifest["format"] == FORMAT, "manifest.json is of another format")
    for name, digest in manifest["files"].items():
        must(digest == {"bytes": len(files[name]), "sha256": sha256(files[name]).hex()}, f"{name} was changed")

    evidence = json.loads(files["evidence.json"])
    call, client, told = evidence["callId"], evidence["clientId"], evidence["chain"]
    must(own["callId"] == call == manifest["callId"] and evidence["orgId"] == org, "the export is of another call")
    for entry in entries:
        must(entry["callId"] == call or entry["clientId"] == client, f"entry {entry['seq']} is about another call")
    by_seq = {entry["seq"]: entry for entry in entries[:-1]}
    must(told["entries"] == list(by_seq), "evidence.json names other entries")
    shown = [entry for section in told["sections"].values() for entry in section]
    must({entry["seq"] for entry in shown} == set(by_seq), "evidence.json leaves an entry out")
    must(all(entry == by_seq[entry["seq"]] for entry in shown), "evidence.json tells of an entry what it does not say")
    for line in files["records.jsonl"].decode().splitlines():
        opened = json.loads(line)
        detail = by_seq[opened["entry"]]["detail"]
        must(detail["commitment"] == commits(opened["salt"], opened["record"].encode()), f"record of entry {opened['entry']}")
    return f"verified {len(entries)} entries of {org} about call {call}; the chain had {size} entries, root {root.hex()}"


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__.split("\n")[2].strip())
    try:
        print(verify(*sys.argv[1:]))
    except Exception as why:  # whatever it is made to stumble over, it is not verified
        print(f"not verified: {type(why).__name__}: {why}")
        sys.exit(1)
