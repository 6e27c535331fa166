//! `leasehold native`: the encrypted file of a native provider.

use std::io::{self, Read as _};
use std::process::ExitCode;

use leasehold_model::Chain;
use leasehold_provider::Material;
use leasehold_provider_native::{EntryState, NativeError, NativeFile};
use leasehold_secret::{Expose as _, Secret};
use serde::Deserialize as _;

use crate::cli::{NativeCommand, NativeFile as Files};
use crate::output;

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Native(#[from] NativeError),
    #[error("read the value from standard input")]
    Input(#[source] io::Error),
    #[error("standard input is empty: pipe the value in, as in `printf %s \"$KEY\" | leasehold …`")]
    Empty,
    #[error("standard input is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("standard input is not a JSON object of texts (line {line}, column {column})")]
    Json { line: usize, column: usize },
    #[error("write to standard output")]
    Output(#[source] io::Error),
}

pub(crate) fn run(command: NativeCommand) -> ExitCode {
    match carry_out(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::fail(&Chain(&error).to_string()),
    }
}

fn carry_out(command: NativeCommand) -> Result<(), CommandError> {
    match command {
        NativeCommand::Put {
            file,
            path,
            field,
            json,
        } => {
            let material = read_material(&field, json)?;
            let version = open_or_create(&file)?.put(&path, &material)?;
            say(&format!("{path} is now at version {version}."))
        }
        NativeCommand::List { file } => {
            for entry in open(&file)?.list()? {
                let state = match entry.state {
                    EntryState::Current { .. } => "",
                    EntryState::Deleted { .. } => "  deleted",
                    EntryState::Damaged => "  damaged",
                };
                say(&format!("{}  version {}{state}", entry.path, entry.version))?;
            }
            Ok(())
        }
        NativeCommand::Delete { file, path } => {
            let version = open(&file)?.delete(&path)?;
            say(&format!(
                "{path} is deleted; its last version was {version}."
            ))
        }
    }
}

fn open(files: &Files) -> Result<NativeFile, NativeError> {
    NativeFile::open(&files.file, &files.key_file)
}

fn open_or_create(files: &Files) -> Result<NativeFile, NativeError> {
    if files.file.exists() {
        return open(files);
    }
    match NativeFile::create(&files.file, &files.key_file) {
        // Somebody else was faster, and what they made is as good.
        Err(NativeError::Exists { .. }) => open(files),
        created => created,
    }
}

/// Reads the fields from standard input: never from an argument, which other users of the machine
/// can see.
fn read_material(field: &str, json: bool) -> Result<Material, CommandError> {
    let input = read_input()?;
    let mut material = Material::default();
    if json {
        // EXPOSE: the text is parsed in place; each value goes straight into a secret of its own.
        let text = input.expose();
        let mut fields = serde_json::Deserializer::from_slice(&text);
        for (name, value) in Fields::deserialize(&mut fields)
            .map_err(|it| json_error(&it))?
            .0
        {
            material.insert(name, value);
        }
        fields.end().map_err(|it| json_error(&it))?;
    } else {
        material.insert(field, input);
    }
    Ok(material)
}

fn read_input() -> Result<Secret, CommandError> {
    // Reserved at once, so that growing leaves no copies behind.
    let mut input = Vec::with_capacity(LARGEST + 1);
    let mut stdin = io::stdin().lock().take(LARGEST as u64 + 1);
    stdin.read_to_end(&mut input).map_err(CommandError::Input)?;
    let length = input.strip_suffix(b"\n").unwrap_or(&input).len();
    input.truncate(length);
    match length {
        0 => Err(CommandError::Empty),
        1..=LARGEST => Ok(Secret::new(input)),
        _ => Err(CommandError::TooLarge),
    }
}

/// An object of texts. Its errors are told by their place alone: a parser's own words may quote the
/// input.
struct Fields(Vec<(String, Secret)>);

impl<'de> serde::Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    fields.push((name, Secret::new(value)));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

fn json_error(error: &serde_json::Error) -> CommandError {
    CommandError::Json {
        line: error.line(),
        column: error.column(),
    }
}

fn say(line: &str) -> Result<(), CommandError> {
    output::say(line).map_err(CommandError::Output)
}

const LARGEST: usize = 64 * 1024;
