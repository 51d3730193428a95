"""A BitTorrent swarm on one machine, for benches/transfer.rs.

    swarm.py make SOURCE TORRENT       writes the torrent of a file
    swarm.py seed DIR TORRENT          offers it until its input ends; says "ready HOST:PORT"
    swarm.py get DIR TORRENT PEER...   fetches it from these peers; says the seconds it took

The swarm gets what helps it: peers know each other from the start, over TCP,
without encryption, without limits of speed or of uploads, with long queues. The
time is libtorrent's alone, from adding the torrent until every piece has been
hashed and is right; starting Python and the session does not count.
"""

import os
import sys
import time

import libtorrent as lt

HOST = "127.0.0.1"

PIECE_BYTES = 1 << 20

OPEN = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "out_enc_policy": lt.enc_policy.pe_disabled,
    "in_enc_policy": lt.enc_policy.pe_disabled,
    "allow_multiple_connections_per_ip": True,
    "upload_rate_limit": 0,
    "download_rate_limit": 0,
    "unchoke_slots_limit": -1,
    "max_out_request_queue": 5000,
    "max_allowed_in_request_queue": 5000,
    "send_buffer_watermark": 16 << 20,
    "max_queued_disk_bytes": 64 << 20,
}


def session():
    return lt.session({**OPEN, "listen_interfaces": f"{HOST}:0"})


def added(swarm, directory, torrent, flags=None):
    parameters = lt.add_torrent_params()
    parameters.ti = lt.torrent_info(torrent)
    parameters.save_path = directory
    # Neither paused nor in a queue.
    parameters.flags &= ~(lt.torrent_flags.paused | lt.torrent_flags.auto_managed)
    if flags is not None:
        parameters.flags |= flags
    return swarm.add_torrent(parameters)


def make(source, torrent):
    files = lt.file_storage()
    lt.add_files(files, source)
    # One kind of hash: version 1, which every client knows.
    new = lt.create_torrent(files, PIECE_BYTES, lt.create_torrent.v1_only)
    lt.set_piece_hashes(new, os.path.dirname(source))
    with open(torrent, "wb") as out:
        out.write(lt.bencode(new.generate()))


def seed(directory, torrent):
    swarm = session()
    added(swarm, directory, torrent, lt.torrent_flags.seed_mode)
    while not swarm.listen_port():
        time.sleep(0.01)
    print(f"ready {HOST}:{swarm.listen_port()}", flush=True)
    sys.stdin.read()


def get(directory, torrent, peers):
    swarm = session()
    began = time.monotonic()
    handle = added(swarm, directory, torrent)
    for peer in peers:
        host, port = peer.rsplit(":", 1)
        handle.connect_peer((host, int(port)))
    while not handle.status().is_seeding:
        error = handle.status().errc
        if error.value():
            sys.exit(error.message())
        time.sleep(0.002)
    print(time.monotonic() - began, flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", source, torrent]:
            make(source, torrent)
        case ["seed", directory, torrent]:
            seed(directory, torrent)
        case ["get", directory, torrent, *peers]:
            get(directory, torrent, peers)
        case _:
            sys.exit(__doc__)
