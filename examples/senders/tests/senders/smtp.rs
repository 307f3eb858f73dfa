//! Codes by e-mail, on a mail server in Python: TLS, a login, and everything that it may answer.

use std::{
    fs,
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use lettre::{
    AsyncSmtpTransport, Tokio1Executor,
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};
use serde_json::Value;
use tower_step_up::{ChallengeError, Purpose, Recipient, senders::Smtp};

use crate::{
    App,
    python::{python, script},
};

const FROM: &str = "Example Bank <no-reply@bank.example>";

/// The mail server. It ends when it is dropped.
pub(crate) struct Mail {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
    port: u16,
    certificate: String,
}

impl Mail {
    pub(crate) fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("senders-{:?}", std::thread::current().id()));
        fs::create_dir_all(&folder).unwrap();
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let mut process = Command::new(python())
            .arg(script("smtp_server.py"))
            .args([&certificate, &key])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = output.next().expect("the server's port").unwrap().parse().unwrap();
        Self { process, output, port, certificate: made.cert.pem() }
    }

    /// A sender that trusts its certificate.
    pub(crate) fn sender(&self, password: &str) -> Smtp {
        let certificate = Certificate::from_pem(self.certificate.as_bytes()).unwrap();
        let tls = TlsParameters::builder("localhost".into()).add_root_certificate(certificate).build().unwrap();
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("localhost")
            .port(self.port)
            .tls(Tls::Wrapper(tls))
            .credentials(Credentials::new("bank".into(), password.into()));
        Smtp::over(transport, FROM).unwrap()
    }

    /// The next message that it has accepted.
    fn accepted(&mut self) -> Value {
        serde_json::from_str(&self.output.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn to(name: &str) -> Recipient {
    Recipient::email(format!("{name}@example.com")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_arrives_in_two_parts() {
    let mut mail = Mail::start();
    let words = |builder: tower_step_up::StepUpBuilder| builder.message_text_in("de", "scope.payments", "Zahlungen");
    let app = App::new(|builder| words(builder.otp("CODE", mail.sender("secret"))));
    *app.recipient.lock().unwrap() = to("alice");
    let german = Purpose::new().scope("payments").language("de");
    app.step_up.start_otp(&testkit::alice(), "CODE", german).await.unwrap();
    let message = mail.accepted();
    assert_eq!((&message["to"], &message["from"]), (&"alice@example.com".into(), &FROM.into()));
    assert_eq!(message["subject"], "Ihr Code");
    assert!(message["id"].as_str().unwrap().ends_with("@bank.example>"), "{message}");
    let plain = message["text/plain"].as_str().unwrap();
    let code = plain.split(' ').next().unwrap();
    assert!(plain.contains("ist Ihr Code.") && plain.contains("Zahlungen"), "{plain}");
    assert!(message["text/html"].as_str().unwrap().contains(&format!(">{code}</b> ist Ihr Code.")), "{message}");
    app.step_up.verify_otp(&testkit::alice(), "CODE", code).await.unwrap();
}

/// Neither a wrong password nor a certificate that is not trusted sends anything, and both are a fault of the server's.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_ours() {
    let mail = Mail::start();
    let untrusted = Smtp::new(&format!("smtps://bank:secret@localhost:{}", mail.port), FROM).unwrap();
    let nowhere = Smtp::new("smtp://localhost:1", FROM).unwrap();
    for (name, sender) in [("login", mail.sender("wrong")), ("certificate", untrusted), ("nowhere", nowhere)] {
        let app = App::new(|builder| builder.otp("CODE", sender));
        let (answer, event) = app.start(to("alice")).await;
        assert_eq!((answer, &*event), (Err(ChallengeError::Unavailable), "Failed"), "{name}");
    }
}
