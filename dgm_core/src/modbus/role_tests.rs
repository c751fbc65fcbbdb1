//! Roles out of certificates made by another implementation, and out of hostile bytes.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;
use rcgen::{CertificateParams, CustomExtension, KeyPair};

use super::*;

const OID: [u64; 9] = [1, 3, 6, 1, 4, 1, 50_316, 802, 1];

fn utf8(text: &[u8]) -> Vec<u8> {
    [&[UTF8_STRING, u8::try_from(text.len()).unwrap()], text].concat()
}

/// A certificate with these contents of role extensions.
fn certificate(contents: &[Vec<u8>]) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
    params.custom_extensions =
        contents.iter().map(|content| CustomExtension::from_oid_content(&OID, content.clone())).collect();
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[test]
fn a_certificate_has_one_role_or_none() {
    for (contents, expected) in [
        (vec![utf8(b"Operator")], Ok(Some("Operator".to_owned()))),
        (vec![utf8("Netz-Wärter".as_bytes())], Ok(Some("Netz-Wärter".to_owned()))),
        (vec![], Ok(None)),
        (vec![utf8(b"A"), utf8(b"B")], Err(RoleError::Several)),
        (vec![utf8(b"")], Err(RoleError::NotARole)),
        (vec![utf8(&[b'x'; 65])], Err(RoleError::NotARole)),
        (vec![utf8(b"two\nlines")], Err(RoleError::NotARole)),
        (vec![utf8(&[0xff])], Err(RoleError::NotARole)),
        (vec![vec![0x13, 1, b'A']], Err(RoleError::NotARole)),
        (vec![[utf8(b"A"), utf8(b"B")].concat()], Err(RoleError::NotARole)),
        (vec![b"Operator".to_vec()], Err(RoleError::NotARole)),
    ] {
        assert_eq!(role(&certificate(&contents)), expected, "{contents:02x?}");
    }
}

#[test]
fn a_critical_extension_is_read_all_the_same() {
    let mut params = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
    let mut extension = CustomExtension::from_oid_content(&OID, utf8(b"Operator"));
    extension.set_criticality(true);
    params.custom_extensions = vec![extension];
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    assert_eq!(role(certificate.der()), Ok(Some("Operator".to_owned())));
}

#[test]
fn every_cut_of_a_certificate_is_malformed() {
    let whole = certificate(&[utf8(b"Operator")]);
    for cut in 0..whole.len() {
        assert_eq!(role(&whole[..cut]), Err(RoleError::Malformed), "{cut}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = role(&bytes);
    }

    #[test]
    fn no_change_of_a_certificate_makes_it_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        thread_local! { static WHOLE: Vec<u8> = certificate(&[utf8(b"Operator")]); }
        let mut changed = WHOLE.with(Vec::clone);
        let at = at.index(changed.len());
        changed[at] = byte;
        if let Ok(Some(role)) = role(&changed) {
            prop_assert!((1..=ROLE_MAX).contains(&role.len()));
        }
    }
}
