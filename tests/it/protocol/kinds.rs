//! Of what a value consists when it is encoded, and whether that is what a type of the
//! document says.

use std::collections::BTreeMap;
use std::fmt;
use std::vec::IntoIter;

use serde::ser::{self, Serialize, Serializer};

/// One part of an encoded value. Structs and tuples are just their parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An unsigned number of so many bits.
    Unsigned(u32),
    Bool,
    Text,
    /// So many elements follow.
    Length(usize),
    Absent,
    Present,
    /// The variant of an enum.
    Variant(u32),
}

/// The types of the document: their parts, and for each variant those of its fields.
#[derive(Debug, Default)]
pub(super) struct Schema {
    pub(super) structs: BTreeMap<String, Vec<String>>,
    pub(super) enums: BTreeMap<String, BTreeMap<u32, Vec<String>>>,
}

impl Schema {
    /// Whether a value consists of what its type in the document says.
    pub(super) fn fits<T: Serialize>(&self, of: &str, value: &T) -> Result<(), String> {
        let mut kinds = Recorder(Vec::new());
        value.serialize(&mut kinds).map_err(|error| error.to_string())?;
        let mut kinds = kinds.0.into_iter();
        self.walk(of, &mut kinds)?;
        match kinds.next() {
            None => Ok(()),
            Some(kind) => Err(format!("{of} does not end before {kind:?}")),
        }
    }

    fn walk(&self, of: &str, kinds: &mut IntoIter<Kind>) -> Result<(), String> {
        let mut expect = |kind: Kind| match kinds.next() {
            Some(is) if is == kind => Ok(()),
            is => Err(format!("{of} is not {is:?}")),
        };
        let inner = |prefix: &str, end: &str| of.strip_prefix(prefix)?.strip_suffix(end);
        if let Some(bits) = inner("u", "").and_then(|bits| bits.parse().ok()) {
            return expect(Kind::Unsigned(bits));
        }
        if let Some(of) = inner("Option<", ">") {
            return match kinds.next() {
                Some(Kind::Absent) => Ok(()),
                Some(Kind::Present) => self.walk(of, kinds),
                is => Err(format!("Option<{of}> is not {is:?}")),
            };
        }
        if let Some(of) = inner("Vec<", ">") {
            return match kinds.next() {
                Some(Kind::Length(count)) => (0..count).try_for_each(|_| self.walk(of, kinds)),
                is => Err(format!("Vec<{of}> is not {is:?}")),
            };
        }
        if let Some((of, count)) = inner("[", "]").and_then(|inner| inner.split_once("; ")) {
            let count: usize = count.parse().map_err(|_| format!("{count} is no number"))?;
            return (0..count).try_for_each(|_| self.walk(of, kinds));
        }
        if let Some(parts) = inner("(", ")") {
            return parts_of(parts).iter().try_for_each(|of| self.walk(of, kinds));
        }
        match of {
            "bool" => expect(Kind::Bool),
            "String" | "FileName" => expect(Kind::Text),
            "Id" | "Digest" | "Token" => self.walk("u128", kinds),
            "Space" => self.walk("u8", kinds),
            "ContentHash" => self.walk("[u8; 32]", kinds),
            "Peer" => self.walk("(SocketAddr, u16)", kinds),
            "SocketAddr" | "IpAddr" => {
                let octets = match kinds.next() {
                    Some(Kind::Variant(0)) => "[u8; 4]",
                    Some(Kind::Variant(1)) => "[u8; 16]",
                    is => return Err(format!("{of} is not {is:?}")),
                };
                self.walk(octets, kinds)?;
                if of == "SocketAddr" { self.walk("u16", kinds) } else { Ok(()) }
            }
            _ => self.walk_named(of, kinds),
        }
    }

    fn walk_named(&self, of: &str, kinds: &mut IntoIter<Kind>) -> Result<(), String> {
        let parts = match (self.structs.get(of), self.enums.get(of)) {
            (Some(parts), None) => parts,
            (None, Some(variants)) => match kinds.next() {
                Some(Kind::Variant(number)) => {
                    variants.get(&number).ok_or_else(|| format!("{of} has no variant {number}"))?
                }
                is => return Err(format!("{of} is not {is:?}")),
            },
            _ => return Err(format!("there is no type {of}, or more than one")),
        };
        let within = |why| format!("{of}: {why}");
        parts.iter().try_for_each(|part| self.walk(part, kinds)).map_err(within)
    }
}

/// The types between commas.
fn parts_of(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts
}

/// Writes down the kinds of what is serialized.
struct Recorder(Vec<Kind>);

/// What no message has.
#[derive(Debug)]
struct Unknown(String);

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no type of a message: {}", self.0)
    }
}

impl std::error::Error for Unknown {}

impl ser::Error for Unknown {
    fn custom<T: fmt::Display>(what: T) -> Unknown {
        Unknown(what.to_string())
    }
}

impl Recorder {
    fn add(&mut self, kind: Kind) {
        self.0.push(kind);
    }
}

/// Parts that come one by one and add nothing of their own.
macro_rules! parts {
    ($($compound:ident: $method:ident($($key:ident: $of:ty),*);)*) => {
        $(impl ser::$compound for &mut Recorder {
            type Ok = ();
            type Error = Unknown;

            fn $method<T: Serialize + ?Sized>(&mut self, $($key: $of,)* value: &T) -> Result<(), Unknown> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Unknown> {
                Ok(())
            }
        })*
    };
}

parts! {
    SerializeSeq: serialize_element();
    SerializeTuple: serialize_element();
    SerializeTupleStruct: serialize_field();
    SerializeTupleVariant: serialize_field();
    SerializeStruct: serialize_field(_key: &'static str);
    SerializeStructVariant: serialize_field(_key: &'static str);
}

/// Numbers and the like.
macro_rules! kinds {
    ($($method:ident($of:ty): $kind:expr;)*) => {
        $(fn $method(self, _: $of) -> Result<(), Unknown> {
            self.add($kind.ok_or_else(|| Unknown(stringify!($of).to_owned()))?);
            Ok(())
        })*
    };
}

impl Serializer for &mut Recorder {
    type Ok = ();
    type Error = Unknown;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = ser::Impossible<(), Unknown>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    kinds! {
        serialize_bool(bool): Some(Kind::Bool);
        serialize_u8(u8): Some(Kind::Unsigned(8));
        serialize_u16(u16): Some(Kind::Unsigned(16));
        serialize_u32(u32): Some(Kind::Unsigned(32));
        serialize_u64(u64): Some(Kind::Unsigned(64));
        serialize_u128(u128): Some(Kind::Unsigned(128));
        serialize_str(&str): Some(Kind::Text);
        serialize_i8(i8): None;
        serialize_i16(i16): None;
        serialize_i32(i32): None;
        serialize_i64(i64): None;
        serialize_f32(f32): None;
        serialize_f64(f64): None;
        serialize_char(char): None;
        serialize_bytes(&[u8]): None;
        serialize_unit_struct(&'static str): None;
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_none(self) -> Result<(), Unknown> {
        self.add(Kind::Absent);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unknown> {
        self.add(Kind::Present);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unknown> {
        Err(Unknown("()".to_owned()))
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        number: u32,
        _: &'static str,
    ) -> Result<(), Unknown> {
        self.add(Kind::Variant(number));
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unknown> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        number: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unknown> {
        self.add(Kind::Variant(number));
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self, Unknown> {
        let length = length.ok_or_else(|| Unknown("a list without a length".to_owned()))?;
        self.add(Kind::Length(length));
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unknown> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unknown> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        number: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unknown> {
        self.add(Kind::Variant(number));
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unknown> {
        Err(Unknown("a map".to_owned()))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unknown> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        number: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unknown> {
        self.add(Kind::Variant(number));
        Ok(self)
    }
}

#[test]
fn a_type_of_the_document_fits_only_what_consists_of_its_parts() {
    let mut schema = Schema::default();
    let parts = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
    schema.structs.insert("Pair".to_owned(), parts(&["u8", "Vec<(String, Option<u64>)>"]));
    let pair = (7u8, vec![("x", Some(1u64)), ("y", None)]);
    assert_eq!(schema.fits("Pair", &pair), Ok(()));
    assert!(schema.fits("Pair", &(7u16, vec![("x", Some(1u64))])).is_err(), "another width");
    assert!(schema.fits("Pair", &(7u8, vec![("x", 1u64)])).is_err(), "no option");
    assert!(schema.fits("Pair", &(7u8, vec![("x", Some(1u64))], true)).is_err(), "one too many");
    assert!(schema.fits("Other", &pair).is_err(), "no such type");
}
