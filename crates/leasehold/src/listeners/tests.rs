use std::os::unix::fs::PermissionsExt as _;

use leasehold_config::CertificateFiles;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

#[test]
fn new_files_are_taken_up_and_their_end_is_shown() {
    let lab = Lab::new("a.example");
    let (mut watched, metrics, registry) = lab.watched();
    metrics.show_certificates(&watched.listener.name, &watched.tls);
    watched.look(&metrics);
    assert!(shown(&registry).contains("name=\"a.example\"} 4102444800\n"));
    lab.write("b.example");
    watched.look(&metrics);
    assert_eq!(watched.tls.certificates()[0].name, "b.example");
    let shown = shown(&registry);
    assert!(shown.contains("listener=\"public\",name=\"b.example\"} 4102444800\n"));
    assert!(!shown.contains("a.example"), "{shown}");
}

#[test]
fn files_that_are_swapped_by_a_link_are_taken_up() {
    let lab = Lab::new("a.example");
    let (other, path) = (Lab::new("b.example"), lab.directory.path());
    let listener = lab.listener_in(&path.join("link"));
    std::os::unix::fs::symlink(path, path.join("link")).expect("a link");
    let mut watched = Watched::read(&listener).expect("good").expect("TLS");
    std::os::unix::fs::symlink(other.directory.path(), path.join("next")).expect("a link");
    fs::rename(path.join("next"), path.join("link")).expect("a swap");
    watched.look(&ProxyMetrics::register(&mut Registry::default()));
    assert_eq!(watched.tls.certificates()[0].name, "b.example");
}

#[test]
fn broken_files_are_counted_once_and_change_nothing() {
    let lab = Lab::new("a.example");
    let (mut watched, metrics, registry) = lab.watched();
    let key = lab.directory.path().join("tls.key");
    let other = KeyPair::generate().expect("a key");
    let breakages: [&dyn Fn(); 4] = [
        &|| fs::write(&key, "canary").expect("written"),
        &|| fs::write(&key, other.serialize_pem()).expect("written"),
        &|| fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("changed"),
        &|| fs::remove_file(&key).expect("removed"),
    ];
    for (count, breakage) in breakages.iter().enumerate() {
        breakage();
        watched.look(&metrics);
        watched.look(&metrics);
        let counted = format!(
            "certificate_failures_total{{listener=\"public\"}} {}\n",
            count + 1
        );
        assert!(shown(&registry).contains(&counted), "{}", shown(&registry));
        assert_eq!(watched.tls.certificates()[0].name, "a.example");
        let fault = watched.fault.clone().expect("a fault");
        assert!(
            fault.contains("tls.key") && !fault.contains("canary"),
            "{fault}"
        );
    }
    lab.write("b.example");
    watched.look(&metrics);
    assert_eq!(watched.tls.certificates()[0].name, "b.example");
}

#[test]
fn a_key_that_others_may_read_stops_the_start() {
    let lab = Lab::new("a.example");
    let key = lab.directory.path().join("tls.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("changed");
    let error = prepare(&[lab.listener()], &Watch::default()).expect_err("it may be read by all");
    assert!(
        Chain(&error).to_string().contains("0644"),
        "{}",
        Chain(&error)
    );
}

fn shown(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).expect("text");
    text
}

struct Lab {
    directory: TempDir,
}

impl Lab {
    fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let lab = Self { directory };
        lab.write(name);
        lab
    }

    fn write(&self, name: &str) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
        let certificate = params.self_signed(&key).expect("a certificate");
        let path = |name| self.directory.path().join(name);
        fs::write(path("tls.crt"), certificate.pem()).expect("written");
        fs::write(path("tls.key"), key.serialize_pem()).expect("written");
        let owner_only = fs::Permissions::from_mode(0o600);
        fs::set_permissions(path("tls.key"), owner_only).expect("changed");
    }

    fn watched(&self) -> (Watched, ProxyMetrics, Registry) {
        let mut registry = Registry::default();
        let metrics = ProxyMetrics::register(&mut registry);
        let watched = Watched::read(&self.listener()).expect("good").expect("TLS");
        (watched, metrics, registry)
    }

    fn listener(&self) -> Listener {
        self.listener_in(self.directory.path())
    }

    fn listener_in(&self, directory: &Path) -> Listener {
        let document = "
instance: test
listeners: { public: { address: \"127.0.0.1:0\", tls: { certificate: tls.crt, key: tls.key } } }
upstreams: { u: { endpoints: [\"http://127.0.0.1:1\"] } }
routes: [{ upstream: u, consumers: anyone }]
";
        let file = self.directory.path().join("leasehold.yaml");
        fs::write(&file, document).expect("written");
        let snapshot = leasehold_config::read(&file).expect("a configuration");
        let mut listener = snapshot.listeners[0].clone();
        let files = CertificateFiles {
            certificate: directory.join("tls.crt"),
            key: directory.join("tls.key"),
        };
        if let Some(tls) = &mut listener.tls {
            tls.certificates = vec![files];
        }
        listener
    }
}
