//! Takes out of a list of `name=value` what an upstream may read as a certain name.

/// The name of a query parameter or of a cookie, with all that upstreams may take for it.
///
/// Servers differ in how they read a name. What counts here is every reading that is in use, so more
/// is taken out than any one server would read: letters of either case, names that are escaped
/// (`%61`, `%u0061`, `+`), quoted, indented or cut off by a zero byte, PHP's `_` for a dot, a space and
/// a bracket, and the names of lists and objects: `a[]`, `a[0]`, `a.b`, `[a]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alias(Vec<u8>);

impl Alias {
    pub(crate) fn of(name: &str) -> Self {
        Self(fold(name.as_bytes()))
    }

    /// Appends to `kept` what does not read as the name, byte by byte. `ends` tells what may end a part.
    pub(crate) fn strip(&self, list: &[u8], ends: &[u8], kept: &mut Vec<u8>) {
        let mut from = 0_usize;
        let mut first = true;
        for part in list.split(|byte| ends.contains(byte)) {
            let end = from.checked_sub(1).and_then(|at| list.get(at));
            from += part.len() + 1;
            if self.reads(part) {
                continue;
            }
            if !first {
                kept.extend(end);
            }
            first = false;
            kept.extend_from_slice(part);
        }
    }

    fn reads(&self, part: &[u8]) -> bool {
        let indent = part
            .iter()
            .take_while(|it| is_padding(**it) || **it == b'=');
        let part = part.get(indent.count()..).unwrap_or_default();
        let name = part.split(|byte| *byte == b'=').next().unwrap_or_default();
        let name = unescaped(name);
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = trimmed(name);
        let inner = match name.iter().position(|it| !is_bracket(*it)) {
            Some(at) => name.get(at..).unwrap_or_default(),
            None => name,
        };
        let until = |is_end: fn(u8) -> bool| inner.split(move |it| is_end(*it)).next();
        let dotted = |it| is_bracket(it) || it == b'.';
        let read = [Some(name), until(is_bracket), until(dotted)];
        read.into_iter()
            .flatten()
            .any(|it| fold(trimmed(it)) == self.0)
    }
}

/// Resolves escapes as lenient servers do; what is none stays.
fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut read = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let (value, used) = match (byte, after) {
            (b'+', _) => (b' ', 0),
            (b'%', [b'u' | b'U', b'0', b'0', high, low, ..]) => match pair(*high, *low) {
                Some(value) => (value, 5),
                None => (b'%', 0),
            },
            (b'%', [high, low, ..]) => match pair(*high, *low) {
                Some(value) => (value, 2),
                None => (b'%', 0),
            },
            _ => (*byte, 0),
        };
        read.push(value);
        rest = rest.get(used..).unwrap_or_default();
    }
    read
}

fn pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn fold(name: &[u8]) -> Vec<u8> {
    let folded = name.iter().map(|byte| match byte {
        b' ' | b'.' | b'[' | b']' => b'_',
        other => other.to_ascii_lowercase(),
    });
    folded.collect()
}

fn trimmed(mut name: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = name
        && is_padding(*first)
    {
        name = rest;
    }
    while let [rest @ .., last] = name
        && is_padding(*last)
    {
        name = rest;
    }
    name
}

const fn is_padding(byte: u8) -> bool {
    byte <= b' ' || byte == b'"' || byte == b'\''
}

const fn is_bracket(byte: u8) -> bool {
    byte == b'[' || byte == b']'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reading_of_the_name_goes() {
        for part in [
            "api_key=1",
            "API_Key=1",
            "api_key",
            "api%5fkey=1",
            "%61pi_key=1",
            "%u0061pi_key=1",
            "+api_key=1",
            "%20api_key=1",
            "api_key%00x=1",
            "api_key[]=1",
            "api_key%5B%5D=1",
            "api_key[0]=1",
            "api_key[a][b]=1",
            "[api_key]=1",
            "api_key.a=1",
            "api.key=1",
            "api+key=1",
            "api[key=1",
            "=api_key=1",
            " api_key =1",
            "\"api_key\"=1",
            "api_key+=1",
            "api.key[]=1",
        ] {
            let list = format!("a=1&{part}&b=%32");
            assert_eq!(stripped("api_key", &list), "a=1&b=%32", "{part}");
        }
    }

    #[test]
    fn what_reads_otherwise_stays_as_it_is() {
        for list in [
            "",
            "&",
            "&&a",
            "api_keys=1",
            "my_api_key=1",
            "a=api_key",
            "api-key=1",
            "x[api_key]=1",
            "%=%zz&a=%2f;b=+&api%255Fkey=1",
            "api_key%=1",
            "q=1?api_key=2",
        ] {
            assert_eq!(stripped("api_key", list), list);
        }
    }

    #[test]
    fn the_first_the_last_and_all_of_them_go_with_one_end_each() {
        assert_eq!(stripped("k", "k=1&a&k=2;b&k"), "a;b");
        assert_eq!(stripped("k", "k=1&k=2"), "");
        assert_eq!(stripped("k", "a=1;k=2"), "a=1");
    }

    fn stripped(name: &str, list: &str) -> String {
        let mut kept = Vec::new();
        Alias::of(name).strip(list.as_bytes(), b"&;", &mut kept);
        String::from_utf8(kept).expect("UTF-8")
    }
}
