//! Tests of the canonical forms of recipients.

use super::*;

fn form(recipient: &Result<Recipient, RecipientError>) -> Result<&str, RecipientError> {
    recipient.as_ref().map(|recipient| recipient.as_str().unwrap()).map_err(|error| *error)
}

#[test]
fn one_phone_has_one_form() {
    use RecipientError::{CountryCode, PhoneCharacter, PhoneLength, TrunkPrefix};
    for (number, expected) in [
        ("+4915123456789", Ok("+4915123456789")),
        ("+49 151 234 567 89", Ok("+4915123456789")),
        ("+49 (151) 234-567.89", Ok("+4915123456789")),
        ("+49/151/23456789", Ok("+4915123456789")),
        ("+49 (0)151 23456789", Err(TrunkPrefix)),
        ("+49 (0151) 23456789", Err(TrunkPrefix)),
        ("+49 ( 0 )151 23456789", Err(TrunkPrefix)),
        ("+ 4915123456789", Err(PhoneCharacter)),
        ("+4915123456789 ", Err(PhoneCharacter)),
        ("+12345678", Ok("+12345678")),
        ("+123456789012345", Ok("+123456789012345")),
        ("+1234567", Err(PhoneLength)),
        ("+1234567890123456", Err(PhoneLength)),
        ("+", Err(PhoneLength)),
        ("", Err(CountryCode)),
        ("4915123456789", Err(CountryCode)),
        ("004915123456789", Err(CountryCode)),
        ("+0491512345678", Err(CountryCode)),
        (" +4915123456789", Err(CountryCode)),
        ("++4915123456789", Err(PhoneCharacter)),
        ("+49151234567x9", Err(PhoneCharacter)),
        ("+4915123456789\u{200b}", Err(PhoneCharacter)),
        ("+49\u{a0}15123456789", Err(PhoneCharacter)),
        ("+49\n15123456789", Err(PhoneCharacter)),
        ("+\u{664}\u{669}15123456789", Err(PhoneCharacter)),
    ] {
        assert_eq!(form(&Recipient::phone(number)), expected, "{number:?}");
    }
}

#[test]
fn one_mailbox_has_one_form() {
    use RecipientError::{EmailCharacter, EmailLength, EmailParts};
    let (longest, longer) = (format!("{}@b.example", "a".repeat(244)), format!("{}@b.example", "a".repeat(245)));
    for (address, expected) in [
        ("alice@example.com", Ok("alice@example.com")),
        ("Alice@EXAMPLE.com", Ok("alice@example.com")),
        ("a.b+shop@example.com", Ok("a.b+shop@example.com")),
        (&longest, Ok(&*longest)),
        (&longer, Err(EmailLength)),
        ("", Err(EmailParts)),
        ("alice", Err(EmailParts)),
        ("@example.com", Err(EmailParts)),
        ("alice@", Err(EmailParts)),
        ("alice@home@example.com", Err(EmailParts)),
        (" alice@example.com", Err(EmailCharacter)),
        ("alice@example.com\n", Err(EmailCharacter)),
        ("ali\u{a0}ce@example.com", Err(EmailCharacter)),
        ("alice\0@example.com", Err(EmailCharacter)),
        ("\"alice\"@example.com", Err(EmailCharacter)),
        ("alice(at home)@example.com", Err(EmailCharacter)),
        ("alice(home)@example.com", Err(EmailCharacter)),
        ("Alice<alice@example.com>", Err(EmailCharacter)),
        ("ali\u{200b}ce@example.com", Err(EmailCharacter)),
        ("alice@\u{ff45}xample.com", Err(EmailCharacter)),
        ("alice@example.com.", Err(EmailParts)),
        ("alice@.example.com", Err(EmailParts)),
        ("alice@example..com", Err(EmailParts)),
    ] {
        assert_eq!(form(&Recipient::email(address)), expected, "{address:?}");
    }
}

#[test]
fn errors_name_the_cure_and_nothing_of_the_recipient() {
    let errors = ["0151 23456789", "+49 (0)151 23456789", "+49", "+49 x", "alice", "a b@c"];
    let phone = errors[..4].iter().filter_map(|number| Recipient::phone(number).err());
    let email = errors[4..].iter().filter_map(|address| Recipient::email(address).err());
    let said: Vec<_> = phone.chain(email).map(|error| error.to_string()).collect();
    assert_eq!(said.len(), errors.len());
    for (said, recipient) in said.iter().zip(errors) {
        assert!(said.contains(": ") && !said.contains(recipient), "{said}");
    }
}

/// The holder of a session sees it, so nothing is shown whole.
#[test]
fn what_is_masked_and_what_is_not_shown() {
    let table = [
        ("+12025550111", Some("•••• 0111")),
        ("+1 (202) 555-0111", Some("•••• 0111")),
        ("+1.202.555.0111", Some("•••• 0111")),
        ("0170 1234567", Some("•••• 4567")),
        ("12345678", Some("•••• 5678")),
        ("1234567", Some("••••")),
        ("7", Some("••••")),
        ("192.168.100.101", None),
        ("+1 202 555 0111 ext 5", None),
        ("\u{660}\u{661}\u{662}\u{663}\u{664}\u{665}\u{666}\u{667}", None),
        ("tel:+12025550111", None),
        ("alice@example.com", Some("a•••@example.com")),
        ("a@example.com", Some("•••@example.com")),
        ("@alice_smith", None),
        ("@alice:example.org", None),
        ("fcm-token@4f2a9c88secret", None),
        ("a@b@example.com", None),
        ("device 7", None),
        ("", None),
    ];
    for (recipient, expected) in table {
        assert_eq!(Recipient::new(recipient).masked().as_deref(), expected, "{recipient}");
        assert_eq!(Recipient::new(recipient).display("mine").masked().as_deref(), Some("mine"));
    }
    assert_eq!(Recipient::known_to_sender().masked(), None);
    assert_eq!(Recipient::known_to_sender().display("your phone").masked().as_deref(), Some("your phone"));
}
