//! What happens in a put, a get, a join, a kill and others, from the command to the last
//! disk: one page each. For readers; there is no code here.

pub mod put {
    //! # A put
    //!
    //! `view::command` reads `put SkyShip.jpg`, and `client::commands` opens a transfer and
    //! calls `put::put`. The client hashes the file once, which gives the manifest, and
    //! looks up the name's key, which gives the owner. What it does next, and when it tries
    //! again, is decided by the machine `core::client::Put`; `put` dials a data connection
    //! and sends `Upload`. At the owner, `owner` asks the core (`Command::Offer`) whether the
    //! name is free and the store whether there is room, and answers `Proceed`. The client
    //! sends the manifest, the owner answers which pieces it has from an earlier attempt, and
    //! the client sends the others in order. The owner verifies each piece and writes it into
    //! `partial/`.
    //!
    //! Meanwhile `forward`, on its own thread, reads each piece from the owner's disk and
    //! sends it to the next holder, which sends it to the one after it. Each holder first
    //! says which pieces it has. A holder that dies, is silent for six seconds or has no room
    //! is skipped: the node before it sends the node after it the few pieces that this one
    //! lacks. At the end all nodes of the chain make the content durable at the same time,
    //! and their acknowledgements come back along the chain.
    //!
    //! Then the owner passes `Command::Commit` to its core: `replicas::owner` gives the record
    //! a version, stores it (`Effect::Store`), and offers it to the first k−1 successors
    //! (`Ask::Offer`). Each of them answers that it wants the record (`Verdict::Wanted`),
    //! finds the bytes on its disk or, if it was not part of the chain, fetches them in
    //! `store_worker`, commits, and sends `Tell::Held`. For each copy a `Notice::Copies` goes
    //! over the data connection to the client; when there are k copies, `Reply::Stored` ends
    //! the command. If the acknowledgements do not come in time, the put fails and says how
    //! many copies there are, and repair continues. If the connection breaks before, the
    //! machine looks up the owner again, and `put` sends it the missing pieces.
    //!
    //! If the client's node is the owner itself, `owner` reads the bytes from the file. A new
    //! owner may be asked for a name that it does not know yet. It first asks its partners
    //! for that name, as far as it has not compared its records with theirs yet: an offer
    //! with counter 0.
    //!
    //! A file of at most 64 KiB is sent without asking (`eager`): header and bytes in one
    //! message, over a connection that is kept for the next file. The owner sends both on
    //! before it writes its own copy, so that all disks work at the same time. The bytes are
    //! in `blobs/` unsynced; the commit, with the other changes that wait (`store_worker`),
    //! writes them and the lines of the names into `recent/`, and one fsync serves all that
    //! wait together. In such a chain an acknowledgement means "written"; a copy is durable
    //! after the holder's own commit.
}

pub mod get {
    //! # A get
    //!
    //! `locate` looks up the key and asks the owner, then its successors, for the newest
    //! record (`Request::Locate`) and for the nodes that share the name
    //! (`Request::Providers`). If there are several contents and the user gave no hash, the
    //! answer lists them: `Outcome::Ambiguous`. If there is none, `missing` finds out within
    //! about a second which names are similar, whether the name was removed, and which silent
    //! members may have it.
    //!
    //! Otherwise `fetch` takes the manifest from the first source that has it and checks it
    //! against the hash. `swarm` starts a thread for each of up to eight sources
    //! (`--sources`), beginning with those of good reputation. `transfer::plan` gives each
    //! source a run of pieces, whose length follows from `speed`. Every piece is verified and
    //! written into a hidden file beside the target, which gets its name when it is complete.
    //! The pieces that a dead source owes are given to others; a source that is below a tenth
    //! of the median speed for three seconds is replaced, and at the end an idle source
    //! relieves a slow one. All the time another thread looks for new sources. If the
    //! remaining sources do not answer, the download gives up its turn and waits for a source
    //! as long as `Transfers` allows; a download that has received nothing at all fails after
    //! 20 seconds. If the newest record has another content and no source delivers the old
    //! one, the machine (`core::client::Get`) starts again with the new content. (A node keeps
    //! a content open for each peer that has begun to read it.) The conduct of each source goes to `reputation`. At
    //! the end the node offers the file to others: `shares` adds it to its index, with the
    //! manifest that is known already.
    //!
    //! If the download ends early, unless by `cancel`, the hidden file (`.NAME.part`) and its
    //! map stay. The next `get` of the same content to the same place locks the file, verifies
    //! the pieces that the map claims, and fetches the rest. A content of one piece needs no
    //! manifest (its hash is the piece's), no plan and no map (its `.NAME.chordal-part` is
    //! overwritten): `eager` asks one source for the bytes, and `swarm` takes over if that
    //! fails.
}

pub mod directory {
    //! # A directory
    //!
    //! `put DIR` and `get DIR/` are one transfer in `tree`. Its files are parts of it and are
    //! paused and cancelled with it. `put` walks the directory and passes each file to the
    //! `workers`, of which a few run at a time. `get` asks every member for its names below
    //! DIR; it does not use the search, whose results are limited. A name has k copies, so a
    //! silent member rarely hides one, and the answer names the silent members. Where all
    //! holders agree on a file, the owner is not asked; a file on which they differ goes
    //! through `get`. A failure stops no other file and is reported at the end: a file that
    //! changes or disappears meanwhile fails alone, and a pipe in its place does not block.
    //! No state is kept about a directory: the next call finds by their hashes which files
    //! are there.
}

pub mod pause {
    //! # A pause
    //!
    //! `pause 3` marks the transfer as held and shuts its connections down. The loop in
    //! `put` waits, then dials again and sends the missing pieces; `swarm` drops its
    //! sources without blame. A transfer that waits for its turn (`--transfers`) is held in
    //! the same way. `control` accepts the same commands from outside, but only from the
    //! node's own machine.
}

pub mod full_disk {
    //! # A full disk
    //!
    //! Before anything is written, the store refuses a content that does not fit into
    //! `--quota` or on the disk without its reserve (1 % of it, at most 64 MiB). The
    //! remains of unfinished uploads are removed first. Large contents are preallocated, so
    //! only small writes can meet a disk that other programs have filled; they fail as full.
    //! A holder that refuses sends `Tell::Unable`. For that record the owner chooses the next
    //! successor after the wanted holders as a stand-in, whose copy counts. `placement` does
    //! not change: in its rounds the stand-in asks whether it may delete the copy, and when
    //! there is room again, the copies move back. A full *owner* keeps the record without the
    //! bytes. It answers which nodes come next; the client sends the file there as a chain and
    //! tells the owner, which entrusts the record to these nodes (`Ask::Entrust`). For the
    //! owner the record exists once the first of them holds it durably. Another node stands in
    //! for the owner's copy, which moves back when there is room.
}

pub mod flipped_bit {
    //! # A flipped bit
    //!
    //! `scrub` reads each content again once a day (`--scrub-every`), at 4 MiB per second;
    //! after a restart it continues where it was. A content that does not match its manifest
    //! loses its records and becomes a partial file. The core gets `Input::Lost`, notes the
    //! name as `absent`, and fetches the bad pieces, and only these, from another holder. If
    //! no other node is known to have the content, the damaged bytes are kept in `damaged/`.
    //! A content that has disappeared counts as lost, too.
    //!
    //! A content that cannot be served is verified at once (`suspect_blobs`).
}

pub mod partition {
    //! # A partition
    //!
    //! Each half drops the members that do not answer it, closes its ring and makes the
    //! missing copies. Both halves serve and accept puts, also of the same name. When the
    //! partition ends, `merge` finds the other ring by its probes and the two become one. The
    //! larger version of a name, `(counter, hash)`, wins everywhere, and the digests find the
    //! records that differ.
}

pub mod several_positions {
    //! # Several positions
    //!
    //! A process may hold several positions on the ring (`--vnodes`; CFS, §5.3). Each is a
    //! `chord::Node` with its own index (i, i + V, i + 2V where one is taken). `chord::Host`
    //! owns them and what they share: one disk, the messages between them, and which of them
    //! answers for a key. Copies are counted by address, so a host holds a copy at its first
    //! position at or after the key, and each record belongs to one position. The positions of
    //! a host die together. Therefore a successor list has at least r entries and continues
    //! until it names k other hosts (no more than r) or has gone round the ring. A host that
    //! is alone holds one position; the others follow when it has met another host, each with
    //! its share of the records. All positions leave together, to other hosts.
}

pub mod share {
    //! # A share
    //!
    //! `share ~/Pictures` reaches `shares::follow`. A thread walks the directory, resolves
    //! each link and leaves out links that lead outside; another thread hashes the files that
    //! no longer change and whose stamps the catalogue does not know. The `index` stores them.
    //! `provide` sees the change, looks up the owners of the names in the order of the keys,
    //! so that one lookup serves many names, and sends `Request::Provide`. Each owner's
    //! `chord::providers` keeps the records for 30 minutes and passes them to its partners.
    //! `provide` repeats everything every ten minutes and whenever the node has joined a ring,
    //! and withdraws it before the node leaves.
}

pub mod search {
    //! # A search
    //!
    //! `find` opens a search in `search::find`. It asks the linked peers directly
    //! (`Request::Search`) and shows a line for each; at the same time `mesh::broadcast`
    //! divides the ring after the origin among the nodes that the origin knows. Each of them
    //! gets the interval from itself to the next, divides it the same way, searches the
    //! ring's files and its own shared ones (`local_matches`), and sends rows up as they come.
    //! So N − 1 messages reach N nodes. A child that sends nothing, not even that it is still
    //! searching, is replaced once: a lookup finds the first live node after it, which gets
    //! the rest of the interval. After at most 20 seconds the search ends with the results so
    //! far, and names the silent nodes. `--via` opens the search at the member and asks it
    //! for new results until the end.
}

pub mod message_to_all {
    //! # A message to all users
    //!
    //! `say` gives the text an id and sends it over every link. At each node `gossip` accepts
    //! an id once, within the limits of its link and its origin, shows the text, and sends it
    //! over every link except the one that it came over. The number of files that a node
    //! shares travels the same way.
}

pub mod registry_day {
    //! # A registry's day
    //!
    //! A node's `contact` connects and sends `Connect` with the address at which others reach
    //! the node. The registry dials that address (`watch_peer`). If a node answers there, the
    //! registry puts it on the list as it describes itself, saves it in `peers.toml`, and
    //! sends `Came` to every connected node. It keeps the connection for a check every five
    //! seconds. A node that leaves says so. A node that others report as `Dead` is only
    //! checked sooner: it is removed when it does not answer the registry itself.
    //!
    //! A node goes through the lists of its registries, one list at a time, and dials: a node
    //! that is alone joins; a member passes the other node to its core, which merges two rings
    //! into one. If a registry dies, its list is kept and `contact` tries again, less and less
    //! often, up to 15 seconds apart. If all are dead, only the Peers panel shows it.
}

pub mod join {
    //! # A join
    //!
    //! `join 127.0.0.1:2000` first asks the contact, as a client would, for its identity and
    //! its ring, and makes it present a token at this node's own address: a node that does
    //! not receive the token there must not join. If the parameters differ, a node that is
    //! alone adopts the ring's (`Command::Adopt`) and any other refuses. Then the core looks
    //! up its own id through the contact. If another node has that very id, the node takes
    //! its next index. It asks the node before its place for its whole list, adopts that in
    //! one step, and is a member. Its first stabilization notifies its successor, which
    //! rectifies and tells its old predecessor that something changed; so the change goes
    //! round a small ring at once, not one period at a time. Fingers and the census follow.
    //! In `replicas` the new node compares digests with its partners and is offered the
    //! records that it should hold; nodes that hold too many now ask the owner whether they
    //! may delete them.
}

pub mod kill {
    //! # A kill
    //!
    //! The kernel closes the dead process's sockets. `connection` ends without a
    //! `Frame::Bye`; the hub reports every open question to that peer as `NoAnswer` and
    //! the peer as `PeerLost`, which makes the core ask it once more. A host that is
    //! silent instead is noticed within the peer's adaptive limit. The predecessor drops
    //! its dead first successor and continues with the next, whose rectify finds its
    //! predecessor silent and takes the notifier. Their lists changed, so their neighbours
    //! receive `Tell::Changed` and stabilize too: the dead node disappears from all lists in
    //! a fraction of a period. Each owner whose partners changed compares digests with the
    //! new one (`Ask::Inventory`) and offers the missing records, and the counts return to
    //! k/k. A node that comes back with its disk is offered the same records and answers
    //! `Held` without the transfer of a byte.
}
