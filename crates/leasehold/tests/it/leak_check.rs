//! The canary matrix: every place where a credential could turn up, searched in every form that software writes
//! one in, after a run of the real gateway in which all went well and much went wrong.
//! `docs/leak-check.md` describes it; `cargo xtask leak-check` runs it for long.

mod canaries;
mod places;
mod report;
mod scene;
mod upstream;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use leasehold_testkit::Form;

use self::places::{Places, packed};
use self::report::{Finding, Report};
use self::scene::Scene;

#[tokio::test]
async fn no_canary_is_found_in_any_place() -> Result<()> {
    let scene = Scene::play(rounds()?).await?;
    let report = Report::of(&scene.places, &scene.canaries)?;
    report.write(&directory(), &scene.canaries)?;
    println!("{report}");
    ensure!(
        report.hits() == 0,
        "canaries were found: see {}",
        directory().display()
    );
    // Whoever finds nothing must have been able to.
    let unguarded = Report::of(&scene.unguarded, &scene.canaries)?;
    ensure!(
        unguarded.hits() > 0,
        "what an unguarded route hands on is not found"
    );
    Ok(())
}

#[test]
fn a_canary_that_is_planted_in_any_place_in_any_form_is_found() -> Result<()> {
    let canary = "planted\"canary\\of/32<letters>&0123";
    let canaries = canaries::Canaries::planted(canary);
    let mut tried = 0;
    for number in Places::searched() {
        for (form, bytes) in plants(canary)? {
            let mut places = Places::default();
            places.add(
                number,
                "planted",
                [b"before ".as_slice(), &bytes, b" after"].concat(),
            );
            let report = Report::of(&places, &canaries)?;
            let found: Vec<_> = report.found().map(|(place, it)| (place, it.form)).collect();
            ensure!(
                found.contains(&(number, form)),
                "{form:?} in place {number}: {found:?}"
            );
            ensure!(found.iter().all(|(place, _)| *place == number), "{found:?}");
            tried += 1;
        }
    }
    ensure!(tried >= 17 * 14, "{tried}");
    Ok(())
}

/// The canary in each form, made by others than who looks for it.
fn plants(canary: &str) -> Result<Vec<(Finding, Vec<u8>)>> {
    let raw = canary.as_bytes();
    let form = Finding::Form;
    let mut plants = vec![
        (form(Form::Raw), raw.to_vec()),
        (form(Form::Hex), hex(raw).into_bytes()),
        (form(Form::Hex), hex(raw).to_uppercase().into_bytes()),
        (form(Form::Json), serde_json::to_vec(canary)?),
        (
            form(Form::Percent),
            raw.iter()
                .flat_map(|it| format!("%{it:02X}").into_bytes())
                .collect(),
        ),
        (
            form(Form::Utf16),
            canary.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        ),
        (
            form(Form::Utf16),
            canary.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        ),
        (Finding::Packed(Form::Raw), packed("gzip", raw)?),
        (
            Finding::Unreadable,
            [&[0x28, 0xb5, 0x2f, 0xfd], raw].concat(),
        ),
    ];
    // Whatever stands before it in a group of three bytes.
    for before in ["", "u", "us"] {
        let text = format!("{before}{canary}");
        plants.push((form(Form::Base64), STANDARD.encode(&text).into_bytes()));
        plants.push((
            form(Form::Base64),
            URL_SAFE_NO_PAD.encode(&text).into_bytes(),
        ));
    }
    Ok(plants)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

/// How often each credential is replaced.
fn rounds() -> Result<usize> {
    Ok(option_env!("LEAK_CHECK_ROUNDS").unwrap_or("1").parse()?)
}

/// Where the report goes.
fn directory() -> PathBuf {
    option_env!("LEAK_CHECK_REPORT").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).join("leak-check"),
        PathBuf::from,
    )
}
