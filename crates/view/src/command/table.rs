//! Every command with all that is said about it anywhere: the table behind the
//! prompt, the subcommands of the command line and the help.

/// What an argument stands for: how to complete it and how to describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An address, `:port`, a bare port or a unique prefix of a node's id.
    Peer,
    /// A file on this machine.
    LocalPath,
    /// A name on the ring.
    RingFile,
    /// A name on the ring, a shared or a found one, maybe with `@HASH` behind it.
    Content,
    /// A name that this node shares.
    SharedFile,
    /// A linked peer.
    Linked,
    /// A host of the network.
    Host,
    /// A range of ports.
    Ports,
    /// A key or a name on the ring.
    KeyOrName,
    /// A pattern over names.
    Pattern,
    /// Anything.
    Text,
    /// The number of a transfer.
    Transfer,
    /// The number of a paused transfer.
    Paused,
    /// A command's name.
    Word,
}

/// A positional argument.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// As the usage line shows it.
    pub name: &'static str,
    /// What it stands for.
    pub kind: Kind,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it takes all the words that are left (the last argument only).
    pub repeated: bool,
    /// One line.
    pub help: &'static str,
}

/// An option.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// With its dashes: `--as`.
    pub name: &'static str,
    /// The value that it takes, if it takes one.
    pub value: Option<(&'static str, Kind)>,
    /// One line.
    pub help: &'static str,
}

/// Everything that is said about a command, anywhere.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The word.
    pub name: &'static str,
    /// Other words for it.
    pub aliases: &'static [&'static str],
    /// Positional arguments, in order.
    pub arguments: &'static [Argument],
    /// Options.
    pub flags: &'static [Flag],
    /// One line: what it does.
    pub summary: &'static str,
    /// A short paragraph: what happens, and an example.
    pub details: &'static str,
    /// Whether the command line has it as a subcommand (with `--via`).
    pub remote: bool,
    /// Whether it only reads: `--json` applies.
    pub reads: bool,
}

impl Spec {
    const fn also(self, aliases: &'static [&'static str]) -> Spec {
        Spec { aliases, ..self }
    }

    const fn takes(self, arguments: &'static [Argument]) -> Spec {
        Spec { arguments, ..self }
    }

    const fn options(self, flags: &'static [Flag]) -> Spec {
        Spec { flags, ..self }
    }

    const fn prompt_only(self) -> Spec {
        Spec { remote: false, ..self }
    }

    const fn reads(self) -> Spec {
        Spec { reads: true, ..self }
    }

    const fn details(self, details: &'static str) -> Spec {
        Spec { details, ..self }
    }

    /// Whether `--json` applies: it reads, or scripts want to know how it ended.
    pub fn takes_json(&self) -> bool {
        self.reads || self.name == "put"
    }

    /// `put PATH [--as NAME] [--overwrite]`, `share PATH…`.
    pub fn usage(&self) -> String {
        self.usage_as(self.name)
    }

    /// The same under one of its other words: `sf PATTERN`.
    pub fn usage_as(&self, word: &str) -> String {
        let mut line = word.to_owned();
        for argument in self.arguments {
            let more = if argument.repeated { "…" } else { "" };
            let shown = if argument.optional {
                format!(" [{}{more}]", argument.name)
            } else {
                format!(" {}{more}", argument.name)
            };
            line.push_str(&shown);
        }
        for flag in self.flags {
            let shown = match flag.value {
                Some((value, _)) => format!(" [{} {value}]", flag.name),
                None => format!(" [{}]", flag.name),
            };
            line.push_str(&shown);
        }
        line
    }

    /// Every word for it, the name first.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

impl PartialEq for Spec {
    fn eq(&self, other: &Spec) -> bool {
        self.name == other.name
    }
}

impl Eq for Spec {}

const fn argument(name: &'static str, kind: Kind, help: &'static str) -> Argument {
    Argument { name, kind, optional: false, repeated: false, help }
}

const fn optional(name: &'static str, kind: Kind, help: &'static str) -> Argument {
    Argument { name, kind, optional: true, repeated: false, help }
}

const fn repeated(name: &'static str, kind: Kind, help: &'static str) -> Argument {
    Argument { name, kind, optional: false, repeated: true, help }
}

/// A command that is also a subcommand of the command line, takes nothing and changes
/// something, until the methods of [`Spec`] say otherwise.
const fn command(name: &'static str, summary: &'static str) -> Spec {
    Spec {
        name,
        aliases: &[],
        arguments: &[],
        flags: &[],
        summary,
        details: "",
        remote: true,
        reads: false,
    }
}

const fn flag(name: &'static str, help: &'static str) -> Flag {
    Flag { name, value: None, help }
}

const fn option(name: &'static str, value: &'static str, kind: Kind, help: &'static str) -> Flag {
    Flag { name, value: Some((value, kind)), help }
}

/// Of those that fetch: where the file goes, and whether it is offered onward.
const FETCHED: &[Flag] = &[
    option("--to", "PATH", Kind::LocalPath, "a file or directory to save it to"),
    flag("--no-reshare", "do not offer it to others afterwards"),
];

const PEER_HELP: &str = "an address, :port, a bare port, or the start of a node's id";

/// The commands, in the order in which the help lists them.
pub const TABLE: &[Spec] = &[
    command("join", "enter a ring through any of its members")
        .takes(&[argument("ADDR", Kind::Peer, PEER_HELP)])
        .prompt_only()
        .details(
            "Finds this node's place on the ring, takes over the successor list there and the \
             files whose keys now belong here. A node that is alone takes over the ring's name, \
             bits and replica count. A node with members of its own merges the two rings. Example: \
             join 127.0.0.1:2000",
        ),
    command("leave", "hand over this node's files and leave the ring").details(
        "Every file held here is copied to where it belongs without this node before it is given \
         up, which lasts as long as it makes progress. The program goes on, alone; join brings it \
         back. With --via on the node's own machine: drains it, waits, and fails when files stay \
         behind. Example: chordal leave --via 127.0.0.1:2001",
    ),
    command("put", "store a file on the ring")
        .also(&["upload"])
        .takes(&[argument("PATH", Kind::LocalPath, "a file or directory on this machine")])
        .options(&[
            option("--as", "NAME", Kind::RingFile, "the name on the ring"),
            flag("--overwrite", "replace other content under the name"),
            option(
                "--min-copies",
                "N",
                Kind::Text,
                "fail when there are fewer copies than this at the end; they stay",
            ),
        ])
        .details(
            "Answers when all copies are on disk: at the owner of the name's key and its next \
             successors. Other content under the same name is refused without --overwrite. Of a \
             directory every file below it is stored as DIRECTORY/PATH, several at a time, hidden \
             ones as well; links and empty directories are left out, and what fails is listed at \
             the end. If it was killed or failed, put the same again: only what is missing is \
             sent. Examples: put SkyShip.jpg; put album --as holidays",
        ),
    command("get", "fetch a file from all who have it")
        .also(&["download"])
        .takes(&[argument(
            "NAME",
            Kind::Content,
            "a file on the ring or shared by somebody; NAME@HASH chooses between contents",
        )])
        .options(FETCHED)
        .details(
            "Downloads from all holders and sharers side by side, and goes on without those that \
             die. Every piece is verified; the file appears under its name only when it is whole, \
             and never over another file: name (1).ext. When the name stands for several contents \
             they are listed, and NAME@HASH takes one by the first digits of its hash. DIRECTORY/ \
             fetches all files whose names begin so; those that are there already are left as they \
             are. When no source is left it waits for one. If it was interrupted, get the same \
             again: it goes on where it stopped. Examples: get SkyShip.jpg; get album/ --to /tmp",
        ),
    command("rm", "remove a file from the ring")
        .takes(&[argument("NAME", Kind::RingFile, "a file on the ring")])
        .details(
            "Leaves a marker in its place that keeps old copies from coming back, for a day. \
             Example: rm SkyShip.jpg",
        ),
    command("ls", "list the files held here, or on the whole ring")
        .also(&["files"])
        .takes(&[optional(
            "PATTERN",
            Kind::Pattern,
            "only these names: * and ? match, a plain word matches anywhere",
        )])
        .options(&[flag("--ring", "the files of the whole ring")])
        .reads()
        .details(
            "For each file: its key, size, this node's part (owner or replica) and the copies that \
             exist of those wanted: 3/3 ok, 2/3 repairing, or 1/3 at risk, where one more death \
             would lose it. Example: ls '*.jpg' --ring",
        ),
    command("share", "offer files to others from where they lie")
        .takes(&[repeated("PATH", Kind::LocalPath, "files or directories on this machine")])
        .prompt_only()
        .details(
            "The files stay where they are; the ring remembers who has them, and others get and \
             find them. A directory's files are named by their path below it, and changes in it \
             are followed. Example: share ~/Pictures",
        ),
    command("unshare", "stop offering a shared file or directory")
        .takes(&[argument("NAME", Kind::SharedFile, "a shared file's name, or a shared path")])
        .prompt_only()
        .details("The file itself stays where it is. Example: unshare SkyShip.jpg"),
    command("find", "search the linked peers and the whole ring for files")
        .also(&["sf"])
        .takes(&[argument(
            "PATTERN",
            Kind::Pattern,
            "* and ? match, a plain word matches anywhere, in small or capital letters",
        )])
        .reads()
        .details(
            "Linked peers answer first, one line each; then every node of the ring is asked over a \
             tree of finger intervals. Results come in as they are found, each content once with \
             all who have it. Example: find *.jpg",
        ),
    command("request", "fetch a file from exactly one peer")
        .takes(&[
            argument("NAME", Kind::Content, "a file that the peer has"),
            argument("PEER", Kind::Peer, PEER_HELP),
        ])
        .options(FETCHED)
        .details(
            "Takes the bytes from this peer and nobody else, whether it stores the file for the \
             ring or shares it. Example: request SkyShip.jpg 5003",
        ),
    command("scan", "look which ports of a host have nodes behind them")
        .takes(&[
            optional("HOST", Kind::Host, "a host; this one without it"),
            optional("FROM-TO", Kind::Ports, "ports, at most 1024 of them"),
        ])
        .reads()
        .details(
            "All ports are tried side by side, one second each, and whatever answers says whether \
             it is a node, and on which ring, or a registry. Without ports: the ten around this \
             node's own (around 2000, where there is none), and 5000-5009. Example: scan 127.0.0.1 \
             5000-5009",
        ),
    command("connect", "link with a peer")
        .takes(&[argument("PEER", Kind::Peer, PEER_HELP)])
        .prompt_only()
        .details(
            "Linked peers watch each other, pass on what people say, and are searched first. The \
             peer need not be on this ring. Example: connect 5003",
        ),
    command("disconnect", "end the link with a peer")
        .takes(&[argument("PEER", Kind::Linked, PEER_HELP)])
        .prompt_only()
        .details("It is not drawn at random again for a while. Example: disconnect 5003"),
    command("peers", "list linked peers, registries and whom not to trust")
        .also(&["lp"])
        .reads()
        .details(
            "Why there is a link, whether the peer lives, its round trip, what it shares, and what \
             speaks against it.",
        ),
    command("say", "tell everyone something")
        .takes(&[repeated("TEXT", Kind::Text, "a sentence")])
        .details(
            "Floods over the links; everyone sees it once, among the events. Example: say the \
             backup is done",
        ),
    command("info", "show identity, predecessor and successors")
        .reads()
        .details("The node's id is the SHA-1 of its address, modulo 2^bits."),
    command("fingers", "show the finger table").reads().details(
        "Finger i is the first node at or after id + 2^i: the shortcuts that make lookups \
         logarithmic.",
    ),
    command("ring", "list every member and check the ring's invariants").reads().details(
        "Walks the ring, asks each member for its own neighbours and checks: exactly one ring, in \
         the order of the ids, with valid successor lists.",
    ),
    command("lookup", "find the owner of a key and show every hop")
        .also(&["trace"])
        .takes(&[argument("KEY|NAME", Kind::KeyOrName, "a key, or a file's name")])
        .reads()
        .details(
            "A number below 2^bits is a key, anything else a name. Example: lookup SkyShip.jpg",
        ),
    command("ping", "measure the round trip to a peer")
        .takes(&[argument("PEER", Kind::Peer, PEER_HELP)])
        .details("Example: ping :2001"),
    command("id", "compute the identifier of a text")
        .takes(&[argument("TEXT", Kind::Text, "an address or a file's name")])
        .reads()
        .details("SHA-1 of the text, modulo 2^bits. Example: id SkyShip.jpg"),
    command("transfers", "list running and recent transfers").reads().details(
        "Each with its number, which cancel, pause and resume take. With --via: those of that \
         node, which answers on its own machine only.",
    ),
    command("cancel", "stop a running transfer")
        .takes(&[argument("N", Kind::Transfer, "the number of a running transfer")])
        .details(
            "What has come of it is discarded; pause keeps it. With --via: one of that node, which \
             obeys on its own machine only. Example: cancel 3",
        ),
    command("pause", "have a put or get wait")
        .takes(&[argument("N", Kind::Transfer, "the number of a running put or get")])
        .details(
            "Its connections are closed, and what has come is kept until resume or cancel. With \
             --via: one of that node, which obeys on its own machine only. Example: pause 3",
        ),
    command("resume", "have a paused put or get go on")
        .takes(&[argument("N", Kind::Paused, "the number of a paused put or get")])
        .details(
            "It goes on where it was, at once or when it is its turn. With --via: one of that \
             node, which obeys on its own machine only. Example: resume 3",
        ),
    command("help", "explain the commands, or one of them")
        .also(&["?"])
        .takes(&[optional("COMMAND", Kind::Word, "the command to explain")])
        .prompt_only()
        .details("Example: help put"),
    command("quit", "leave the ring and end the program").also(&["exit"]).prompt_only().details(
        "Hands over this node's files first, as long as that makes progress or until \
         --leave-deadline. Ctrl-C or SIGTERM once more, a second later, ends it at once.",
    ),
    command("quit!", "end the program now, without handing files over")
        .prompt_only()
        .details("The files stay on this node's disk; starting it again brings them back."),
];

/// The entry for a word: a command's name or an alias.
pub fn spec(word: &str) -> Option<&'static Spec> {
    TABLE.iter().find(|spec| spec.words().any(|w| w == word))
}
