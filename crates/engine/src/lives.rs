//! What happens in a put, a get, a join, a kill and others, from the command to the last
//! disk: one page each. For readers; there is no code here.

pub mod put {
    //! # A put
    //!
    //! `put SkyShip.jpg` is read by `view::command` and reaches `client::commands`, which
    //! opens a transfer and calls `files::put`. The file is hashed once, which gives the
    //! manifest. A lookup of the name's key finds the owner. `files` dials a data
    //! connection and sends `Upload`; there `serve_data` asks the owner's core
    //! (`Command::Offer`) whether the name is free and the store whether there is room, and
    //! answers `Proceed`. The client sends the manifest, the owner says which pieces it has
    //! already from an earlier attempt, and the others follow in order. Each is verified and
    //! written into `partial/`.
    //!
    //! Meanwhile `forward`, on a thread of its own, reads each piece from the owner's disk and
    //! sends it to the next holder, that one to the next. Each of them says first what it has.
    //! Who dies, is silent for six seconds or has no room is passed by: the node behind him
    //! gets what it lacks, which is little. At the end all make the content durable side
    //! by side, and word of it comes back along the chain.
    //!
    //! Then the owner hands `Command::Commit` to the core: `replicas::owner` gives the
    //! record a version, has the record stored (`Effect::Store`), and offers it to its first
    //! k−1 successors (`Ask::Offer`). Each of them wants it (`Verdict::Wanted`), finds the
    //! bytes on its disk or, when it was left out of the chain, fetches them in `store_worker`,
    //! commits, and says `Tell::Held`. With every one `Notice::Copies` goes up the data
    //! connection to whoever waits; when there are k, `Reply::Stored` ends the command. If
    //! the acknowledgements are not there in time, the put fails with the number, and repair
    //! goes on. If the connection breaks before, `files` looks the owner up anew and sends what
    //! is missing there.
    //!
    //! If the owner is the node itself, the bytes go straight into its store. A new owner
    //! may be asked for a name of which it has not heard yet. So it first asks those
    //! partners for that name with which it has not yet agreed on what there is: an offer
    //! with counter 0.
    //!
    //! A file of at most 64 KiB takes the short way (`eager`): header and bytes in one
    //! message, without asking first, over a connection that is kept for the next one. The owner
    //! sends the same on before it writes its own copy, so that all disks work at the same time.
    //! Its bytes lie in `blobs/` unsynced; the commit, with whatever else the core wants kept by
    //! then (`store_worker`), writes them and the names' lines into
    //! `recent/`, and one fsync serves all who wait together. An acknowledgement in such a chain
    //! means "written"; durable is what the holder's own commit says.
}

pub mod get {
    //! # A get
    //!
    //! `locate` looks the key up and asks the owner, then its successors, for the newest
    //! record (`Request::Locate`) and for those who share the name (`Request::Providers`).
    //! Several contents without a hash to choose are the answer: `Outcome::Ambiguous`. Nothing
    //! at all is a question for `missing`: it says within about a second which names are alike,
    //! that the name was removed, or which silent members would have it.
    //!
    //! Otherwise `fetch` takes the manifest from the first source that has it, checks it
    //! against the hash, and `swarm` starts a thread for each of up to eight sources
    //! (`--sources`), those of good reputation first. `transfer::plan` hands each a run of pieces
    //! of its own; `speed` says how long a run. Every piece is verified and written into a
    //! hidden file beside the target, which gets its name when it is whole. A source that dies
    //! gives back what it owes; one below a tenth of the median for three seconds is
    //! replaced, and a slow one is relieved at the end by an idle one. All the while
    //! another thread looks for new sources. When those that are left do not answer, the download
    //! gives up its turn and waits for one as long as `Transfers` says; one that nobody has served
    //! anything fails after 20 seconds. Should the newest record be of another content, and nobody
    //! deliver the old one any more, `get` begins anew with what the name stands for now; a node
    //! keeps a content open for each peer that has begun to read it. What a source did goes to `reputation`. At the end the file is offered
    //! onward: `shares` takes it into its index with the manifest that is known already.
    //!
    //! Ended half-way, but for `cancel`, the hidden file (`.NAME.part`) and its map stay. The next `get` of
    //! the same content to the same place locks the file, verifies what the map claims, and
    //! fetches the rest. A content of one piece needs no manifest (its hash is the
    //! piece's) and no plan (and nothing to go on with: its `.NAME.chordal-part` makes way): `eager` asks one source for the bytes, and leaves whatever fails to
    //! the swarm.
}

pub mod directory {
    //! # A directory
    //!
    //! `put DIR` and `get DIR/` are one transfer in `tree`, whose files are parts of it and share
    //! its pausing and cancelling. `put` walks the directory and gives each file to the `workers`,
    //! which has a few at work at a time. `get` asks every member for its names below DIR, not
    //! the search, whose results are capped. A name has k copies, so a silent member rarely
    //! hides one, and it is named in the answer. Where all holders agree, their word replaces
    //! the owner's; a file on which they differ goes through `get`. What fails stops nothing
    //! and is told at the end: a file that changes or goes meanwhile fails alone, and a pipe in its
    //! place is not waited for. Nothing is remembered of a directory: asking again finds by its
    //! hash what is there.
}

pub mod pause {
    //! # A pause
    //!
    //! `pause 3` marks the transfer as held and cuts its connections. The loop in `files::put`
    //! waits, then dials anew and sends what is missing; `swarm` lets its sources go without
    //! blame. A transfer that is not its turn (`--transfers`) is held in the same way.
    //! `control` obeys the same words from outside, from the node's own machine only.
}

pub mod full_disk {
    //! # A full disk
    //!
    //! The store refuses what fits neither into `--quota` nor on the disk less its reserve
    //! (1 % of it, 64 MiB at the most), before anything is written; what killed uploads left gives
    //! way first. Large contents are preallocated, so only small writes can meet a disk that
    //! somebody else has filled; they fail as full. A holder that refuses says `Tell::Full`. For that record the owner
    //! chooses the next successor behind the wanted holders as stand-in, whose copy counts.
    //! `placement` stays as it is: the stand-in asks in its rounds whether the copy may go, and
    //! when room has come back, the copies move home. A full *owner* answers for the name without
    //! the bytes. It says who comes next; the client sends the file there as a chain and tells the
    //! owner, which entrusts the record to them (`Ask::Entrust`). It exists for the owner once the
    //! first holds it durably. Another node stands in for it, and the copy comes home when there is
    //! room.
}

pub mod flipped_bit {
    //! # A flipped bit
    //!
    //! `scrub` reads each content again once a day (`--scrub-every`), at 4 MiB a second; stopped
    //! half-way, it goes on there after the next start. What
    //! does not match its manifest loses its records and becomes a partial file; the core
    //! hears `Input::Lost`, the name is `absent`, and the bytes are fetched from another holder:
    //! only the bad pieces. If nobody else is known to have the content, the damaged bytes stay in
    //! `damaged/`. A content that is gone counts as lost, too.
    //!
    //! What cannot be served is looked at at once (`suspect_blobs`).
}

pub mod partition {
    //! # A partition
    //!
    //! Each half drops the members that do not answer it, closes its ring and makes the
    //! missing copies. Both serve and accept puts, also of the same name. When the cut ends,
    //! `merge` finds the other ring by its probes and the two become one; the larger version of
    //! a name, `(counter, hash)`, wins everywhere, and the digests find what differs.
}

pub mod several_positions {
    //! # Several positions
    //!
    //! A process may hold several places on the ring (`--vnodes`; CFS, §5.3). Each is a
    //! `chord::Node` with its own index (i, i + V, i + 2V where one is taken); `chord::Host` owns
    //! them and what they share: one disk, messages among them, who answers for a key. Copies are
    //! counted by address, so a host holds a copy at its first position at or after the key, and
    //! each record belongs to one position. The positions of a host die together. Therefore a
    //! successor list has r entries at least and goes on until it names k other hosts (no more than
    //! r) or comes round. A lone host holds one place; the others follow when it has met another
    //! host, each with its share of the records. All leave together, to other hosts.
}

pub mod share {
    //! # A share
    //!
    //! `share ~/Pictures` reaches `shares::follow`. A thread walks the directory, resolves
    //! each link and leaves out what leads elsewhere; another one hashes what has settled
    //! and is not known by its marks from the catalogue. The `index` has it; `provide` sees
    //! the change, looks up the owners of the names in the order of the keys, so that one
    //! lookup serves many, and says `Request::Provide`. Each owner's `chord::providers`
    //! takes the records for 30 minutes and tells its partners. `provide` says everything
    //! again every ten minutes and whenever the node has come to a ring, and takes it back
    //! before the node leaves.
}

pub mod search {
    //! # A search
    //!
    //! `find` opens a search in `search::find`. The linked peers are asked directly
    //! (`Request::Search`), which gives the line of each; at the same moment
    //! `mesh::broadcast` divides the ring behind the origin among the nodes that it knows.
    //! Each gets the interval from itself to the next, divides it the same way, lets `local_matches`
    //! look into the ring's files and its own shared ones, and sends rows up as they come.
    //! So N − 1 messages reach N nodes. A child that says nothing, not even that it is at
    //! work, is replaced once: a lookup finds the first live node behind it, which gets the
    //! rest of the interval. At 20 seconds at the latest the search ends with what there is,
    //! and names who was silent. `--via` opens it at the member and follows it by asking
    //! for what is new.
}

pub mod sentence_said {
    //! # A sentence said
    //!
    //! `say` gives the text an id and hands it to every link. `gossip` lets it pass once by
    //! its id, within what a link may bring and an origin may say, shows it, and sends it
    //! over every link but the one that it came over. How many files a node shares travels
    //! the same way.
}

pub mod registry_day {
    //! # A registry's day
    //!
    //! `contact` connects and says `Connect` with the address at which others reach the
    //! node. The desk has that address dialled (`watch_peer`); when a node answers there,
    //! it is listed as what it says there, saved in `peers.toml`, and every connected node
    //! hears `Came`. The connection is kept for a check every five seconds. A node that
    //! leaves says so. One that somebody reports as `Dead` is only checked sooner: what
    //! takes it off the list is that it does not answer the registry itself.
    //!
    //! A node looks at what its registries list, a list at a time, and dials: alone, it
    //! joins; as a member, it hands the other to the core, which merges two rings into one.
    //! When a registry dies, its list is kept and `contact` tries again, ever more rarely, up
    //! to 15 seconds apart. When all are dead, nobody notices but the Peers panel.
}

pub mod join {
    //! # A join
    //!
    //! `join 127.0.0.1:2000` first asks the contact, as a client would, who it is and on
    //! which ring, and has it present a token at this node's own address: who does not see it there
    //! stays out. If the parameters differ, a lonely node adopts the ring's
    //! (`Command::Adopt`) and any other refuses. Then the core looks its own id up through
    //! the contact. If somebody has that very place, the node takes its next index. It asks
    //! the node before its place for its whole list, adopts that in one step, and is a
    //! member. Its first stabilization notifies its successor, which rectifies and tells
    //! its old predecessor that something changed; so the news runs round a small ring
    //! at once, not a period at a time. Fingers and the census follow. In `replicas`
    //! the newcomer compares digests with its partners and is offered what it should
    //! hold; those who hold too much now ask the owner whether they may drop it.
}

pub mod kill {
    //! # A kill
    //!
    //! The kernel closes the dead process's sockets. `connection` ends without a
    //! `Frame::Bye`; the hub reports every open question to that peer as `NoAnswer` and
    //! the peer as `PeerLost`, which makes the core ask it once more. A host that is
    //! silent instead is noticed within the peer's adaptive limit. The predecessor drops
    //! its dead first successor and goes on with the next; that one's rectify finds its
    //! predecessor silent and takes the notifier. Their lists changed, so their
    //! neighbours hear `Tell::Changed` and stabilize too: the dead node vanishes from all
    //! lists in a fraction of a period. Each owner whose partners changed compares
    //! digests with the new one (`Ask::Inventory`), offers what is missing, and the counts
    //! go back to k/k. A node that comes back with its disk is offered the same and answers
    //! `Held` without a byte moving.
}
