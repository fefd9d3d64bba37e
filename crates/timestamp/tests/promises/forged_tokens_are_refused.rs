//! Each way to forge a token is refused, for its own reason.

use crate::forge::{
    self, Forge, Key, attribute, bind, certificate, expected, judge, oid, seq, tlv, trust,
};
use testkit::authority::{Authority, ED25519, INTERMEDIATE, Issue, P256, ROOT, RSA2048};
use timestamp::{Digest, Error, Expected, Imprint, Nonce, Request, Response, Scheme};

fn authority() -> Authority {
    let authority = Authority::new().unwrap();
    for (name, key) in [("tsa-ed25519", ED25519), ("another", P256)] {
        authority
            .issue(&Issue {
                key,
                ..Issue::authority(name)
            })
            .unwrap();
    }
    authority
}

fn other_issuers(authority: &Authority) {
    // Another authority of the same names, with the serial number of the true one.
    let serial = hex::encode(certificate(authority, "tsa-ec").serial());
    let issues = [
        Issue {
            issuer: "rogue-root",
            subject: "root",
            extensions: testkit::authority::MAY_ISSUE,
            ..Issue::authority("rogue-root")
        },
        Issue {
            issuer: "rogue-root",
            subject: "intermediate",
            extensions: testkit::authority::MAY_ISSUE,
            ..Issue::authority("rogue")
        },
        Issue {
            issuer: "rogue",
            subject: "tsa-ec",
            serial: Some(&serial),
            ..Issue::authority("rogue-tsa")
        },
    ];
    issues
        .iter()
        .for_each(|issue| authority.issue(issue).unwrap());
}

/// What the attacker does to an honest token, and what is said to it.
type Attack = (&'static str, fn(&mut Forge, &Authority), fn(&Error) -> bool);

const ATTACKS: &[Attack] = &[
    (
        "another CMS type",
        |f, _| f.outer_type = "1.2.840.113549.1.7.1".into(),
        |e| matches!(e, Error::NotSignedData(_)),
    ),
    (
        "data in place of a time-stamp",
        |f, _| f.content_type = "1.2.840.113549.1.7.1".into(),
        |e| matches!(e, Error::NotTimestampInfo(_)),
    ),
    (
        "no signer",
        |f, _| f.signers = 0,
        |e| matches!(e, Error::SignerCount(0)),
    ),
    (
        "two signers",
        |f, _| f.signers = 2,
        |e| matches!(e, Error::SignerCount(2)),
    ),
    (
        "no signed attributes",
        |f, _| f.with_attributes = false,
        |e| matches!(e, Error::MissingAttribute("content-type")),
    ),
    (
        "no content-type",
        |f, _| drop(f.attributes.remove(0)),
        |e| matches!(e, Error::MissingAttribute("content-type")),
    ),
    (
        "no signing-certificate",
        |f, _| drop(f.attributes.remove(1)),
        |e| matches!(e, Error::MissingAttribute("signing-certificate")),
    ),
    (
        "another content-type",
        |f, _| f.attributes[0] = attribute(forge::CONTENT_TYPE, &oid("1.2.840.113549.1.7.1")),
        |e| matches!(e, Error::ContentTypeMismatch(_)),
    ),
    (
        "two message-digests",
        |f, _| {
            f.attributes
                .push(attribute(forge::MESSAGE_DIGEST, &tlv(4, &[&[0; 32]])))
        },
        |e| matches!(e, Error::RepeatedAttribute("message-digest")),
    ),
    (
        "two values of the message-digest",
        |f, _| {
            let values = [tlv(4, &[&[0; 32]]), tlv(4, &[&[1; 32]])].concat();
            f.attributes.push(attribute(forge::MESSAGE_DIGEST, &values));
        },
        |e| matches!(e, Error::RepeatedAttribute(_)),
    ),
    (
        "altered imprint under the old digest",
        |f, _| {
            f.digested = Some(b"the content before".to_vec());
        },
        |e| matches!(e, Error::MessageDigestMismatch),
    ),
    (
        "no certificate",
        |f, _| f.bag.clear(),
        |e| matches!(e, Error::MissingSignerCertificate),
    ),
    (
        "the binding is to another certificate",
        |f, a| {
            f.attributes[1] = attribute(
                forge::SIGNING_CERTIFICATE_V2,
                &bind(&[certificate(a, "another").as_der()]),
            );
        },
        |e| matches!(e, Error::SignerCertificateMismatch),
    ),
    (
        "the first binding is not to the signer",
        |f, a| {
            let (other, own) = (certificate(a, INTERMEDIATE), f.certificate.clone());
            f.attributes[1] = attribute(
                forge::SIGNING_CERTIFICATE_V2,
                &bind(&[other.as_der(), &own]),
            );
        },
        |e| matches!(e, Error::SignerCertificateMismatch),
    ),
    (
        "bound by SHA-1 to another, by SHA-256 to the signer",
        |f, _| {
            f.attributes.push(attribute(
                forge::SIGNING_CERTIFICATE,
                &seq(&[&seq(&[&seq(&[&tlv(4, &[&[0; 20]])])])]),
            ));
        },
        |e| matches!(e, Error::SignerCertificateMismatch),
    ),
    (
        "bound to a certificate outside the chain",
        |f, a| {
            let (other, own) = (certificate(a, "another"), f.certificate.clone());
            f.attributes[1] = attribute(
                forge::SIGNING_CERTIFICATE_V2,
                &bind(&[&own, other.as_der()]),
            );
        },
        |e| matches!(e, Error::SigningCertificateOutsideChain),
    ),
    (
        "bound to nothing",
        |f, _| f.attributes[1] = attribute(forge::SIGNING_CERTIFICATE_V2, &bind(&[])),
        |e| matches!(e, Error::Malformed { .. }),
    ),
    (
        "bound by MD5",
        |f, _| {
            let id = seq(&[&seq(&[&oid("1.2.840.113549.2.5")]), &tlv(4, &[&[0; 16]])]);
            f.attributes[1] = attribute(forge::SIGNING_CERTIFICATE_V2, &seq(&[&seq(&[&id])]));
        },
        |e| matches!(e, Error::UnsupportedAlgorithm { .. }),
    ),
    (
        "signed by another key",
        |f, a| {
            *f = Forge::honest(a, "another", Key::Ec)
                .in_the_name_of(certificate(a, "tsa-ec").as_der())
        },
        |e| matches!(e, Error::MissingSignerCertificate),
    ),
    (
        "signed by another key, certificate in the bag",
        |f, a| {
            let own = f.certificate.clone();
            *f = Forge::honest(a, "another", Key::Ec).in_the_name_of(&own);
            f.bag.push(own);
        },
        |e| matches!(e, Error::BadSignature { .. }),
    ),
    (
        "a namesake's certificate injected in front, signed by its key",
        |f, a| {
            let (own, rogue) = (f.certificate.clone(), certificate(a, "rogue-tsa"));
            *f = Forge::honest(a, "rogue-tsa", Key::Ec).in_the_name_of(&own);
            f.bag = vec![rogue.as_der().to_vec(), own];
        },
        |e| matches!(e, Error::BadSignature { .. }),
    ),
    (
        "a namesake's certificate alone",
        |f, a| {
            f.bag = vec![certificate(a, "rogue-tsa").as_der().to_vec()];
        },
        |e| matches!(e, Error::SignerCertificateMismatch),
    ),
    (
        "a whole chain of namesakes to another root",
        |f, a| {
            *f = Forge::honest(a, "rogue-tsa", Key::Ec);
            f.bag = ["rogue-tsa", "rogue", "rogue-root"]
                .map(|name| certificate(a, name).as_der().to_vec())
                .into();
        },
        |e| matches!(e, Error::NoPinnedRoot { .. }),
    ),
    (
        "the intermediate left out",
        |f, _| f.bag.truncate(1),
        |e| matches!(e, Error::NoPinnedRoot { .. }),
    ),
    (
        "another digest beside the signature",
        |f, _| f.signature_algorithm = seq(&[&oid("1.2.840.10045.4.3.3")]),
        |e| matches!(e, Error::AlgorithmsDisagree { .. }),
    ),
    (
        "signed with SHA-1",
        |f, _| {
            f.digest_algorithm = seq(&[&oid("1.3.14.3.2.26")]);
            f.signature_algorithm = seq(&[&oid("1.2.840.10045.4.1")]);
        },
        |e| matches!(e, Error::WeakAlgorithm(_)),
    ),
    (
        "signed with MD5",
        |f, _| f.digest_algorithm = seq(&[&oid("1.2.840.113549.2.5")]),
        |e| matches!(e, Error::UnsupportedAlgorithm { .. }),
    ),
    (
        "a signature of another kind than the key",
        |f, _| f.signature_algorithm = seq(&[&oid("1.2.840.113549.1.1.11"), &[5, 0]]),
        |e| matches!(e, Error::BadSignature { .. }),
    ),
    (
        "another imprint",
        |f, _| f.info.imprint = seq(&[&seq(&[&oid(forge::SHA256)]), &tlv(4, &[&[0; 32]])]),
        |e| matches!(e, Error::ImprintMismatch),
    ),
    (
        "an imprint of another hash",
        |f, _| {
            f.info.imprint = seq(&[
                &seq(&[&oid("2.16.840.1.101.3.4.2.2")]),
                &tlv(4, &[&[0; 48]]),
            ]);
        },
        |e| matches!(e, Error::ImprintAlgorithmMismatch { .. }),
    ),
    (
        "an imprint of the wrong length",
        |f, _| f.info.imprint = seq(&[&seq(&[&oid(forge::SHA256)]), &tlv(4, &[&[0; 31]])]),
        |e| matches!(e, Error::Malformed { .. }),
    ),
    (
        "another version",
        |f, _| f.info.version = 2,
        |e| matches!(e, Error::Malformed { .. }),
    ),
    (
        "a time before the certificate",
        |f, _| f.info.gen_time = "20191231235959.999Z".into(),
        |e| matches!(e, Error::NotYetValid { .. }),
    ),
    (
        "a time after the certificate",
        |f, _| f.info.gen_time = "20500101000000Z".into(),
        |e| matches!(e, Error::Expired { .. }),
    ),
    (
        "a critical extension",
        |f, _| {
            let extension = seq(&[&oid("1.2.3.4"), &[1, 1, 0xff], &[4, 0]]);
            f.info.rest.push(tlv(0xa1, &[&extension]));
        },
        |e| matches!(e, Error::UnknownCriticalExtension { .. }),
    ),
    (
        "the name of another authority",
        |f, a| {
            let other = certificate(a, "another");
            let name = x509_subject(other.as_der());
            f.info.rest.push(tlv(0xa0, &[&tlv(0xa4, &[&name])]));
        },
        |e| matches!(e, Error::AuthorityNameMismatch(_)),
    ),
    (
        "attributes out of order",
        |f, _| {
            f.attributes
                .push(tlv(0x30, &[&oid("1.2.3.4"), &[0x31, 6, 4, 1, 2, 4, 1, 1]]))
        },
        |e| matches!(e, Error::Malformed { .. }),
    ),
    (
        "33 certificates",
        |f, _| f.bag = vec![f.certificate.clone(); 33],
        |e| matches!(e, Error::OverLimit { .. }),
    ),
    (
        "a signer's version that does not fit",
        |f, _| f.signer_version = 3,
        |e| matches!(e, Error::Malformed { .. }),
    ),
];

fn x509_subject(certificate: &[u8]) -> Vec<u8> {
    use x509_cert::der::{Decode as _, Encode as _};
    let certificate = x509_cert::Certificate::from_der(certificate).unwrap();
    certificate.tbs_certificate().subject().to_der().unwrap()
}

#[test]
fn each_for_its_own_reason() {
    let authority = authority();
    other_issuers(&authority);
    let honest = Forge::honest(&authority, "tsa-ec", Key::Ec);
    let (expected, trust) = (expected(), trust(&authority));
    judge(&honest.token(), &expected, &trust).unwrap();
    for (name, attack, refused) in ATTACKS {
        let mut forged = honest.clone();
        attack(&mut forged, &authority);
        let verdict = judge(&forged.token(), &expected, &trust);
        assert!(verdict.as_ref().is_err_and(refused), "{name}: {verdict:?}");
    }
    // Namesakes beside the true certificates do no harm, wherever they stand.
    let mut crowded = honest;
    let rogues = ["rogue-tsa", "rogue", "rogue-root"]
        .map(|name| certificate(&authority, name).as_der().to_vec());
    crowded.bag.splice(0..0, rogues);
    let garbage = [vec![0x30, 0], tlv(0xa1, &[b"not a certificate"])];
    crowded.bag.splice(0..0, garbage);
    let verified = judge(&crowded.token(), &expected, &trust).unwrap();
    let subjects: Vec<String> = verified
        .chain
        .iter()
        .map(timestamp::Certificate::subject)
        .collect();
    assert_eq!(subjects.len(), 3);
    assert!(
        subjects[0].contains("tsa-ec") && subjects[2].contains("root"),
        "{subjects:?}"
    );
}

#[test]
fn an_answer_to_another_question() {
    let authority = Authority::new().unwrap();
    let trust = trust(&authority);
    let request = |imprint: u8, nonce: u8| {
        Request::new(Imprint::sha256([imprint; 32]), Nonce::new([nonce; 8]))
    };
    let asked = request(7, 1);
    let reply = authority
        .reply("tsa-ec", testkit::authority::Style::Plain, &asked.to_der())
        .unwrap();
    let token = Response::from_der(&reply).unwrap().into_token().unwrap();
    token.verify(&Expected::answer_to(&asked), &trust).unwrap();
    let verdict = |request: &Request| token.verify(&Expected::answer_to(request), &trust);
    assert_eq!(
        verdict(&request(7, 2)),
        Err(Error::NonceMismatch("another"))
    );
    assert_eq!(verdict(&request(8, 1)), Err(Error::ImprintMismatch));
    let policy = |text| timestamp::ObjectIdentifier::new_unwrap(text);
    let other = request(7, 1).under_policy(policy("1.2.3.4.5"));
    assert_eq!(
        verdict(&other),
        Err(Error::PolicyNotAccepted(policy("1.2.3.4.1")))
    );
    let narrow = trust.clone().with_policies(vec![policy("1.2.3.4.5")]);
    let verdict = token.verify(&Expected::answer_to(&asked), &narrow);
    assert_eq!(verdict, Err(Error::PolicyNotAccepted(policy("1.2.3.4.1"))));
    let gen_time = token.claims().gen_time;
    let early = gen_time - jiff::SignedDuration::from_secs(1);
    let latest = Expected::answer_to(&asked).no_later_than(early);
    assert_eq!(
        token.verify(&latest, &trust),
        Err(Error::TooLate {
            gen_time,
            latest: early
        })
    );
    token
        .verify(&Expected::answer_to(&asked).no_later_than(gen_time), &trust)
        .unwrap();

    let forged = Forge::honest(&authority, "tsa-ec", Key::Ec);
    let without = judge(
        &forged.token(),
        &Expected::answer_to(&Request::new(
            Imprint::sha256(forge::IMPRINT),
            Nonce::new([1; 8]),
        )),
        &trust,
    );
    assert_eq!(without, Err(Error::NonceMismatch("missing")));
}

#[test]
fn every_kind_of_key_signs() {
    let authority = authority();
    let trust = trust(&authority);
    let sha256 = Digest::Sha256;
    let kinds = [
        ("tsa-ec", Key::Ec, Scheme::Ecdsa(sha256)),
        ("tsa-rsa", Key::RsaPss, Scheme::RsaPss(sha256)),
        ("tsa-rsa", Key::BareRsa, Scheme::RsaPkcs1(sha256)),
        ("tsa-ed25519", Key::Ed25519, Scheme::Ed25519),
    ];
    for (name, key, scheme) in kinds {
        let mut forged = Forge::honest(&authority, name, key);
        if matches!(key, Key::Ed25519) {
            forged.digest_algorithm = seq(&[&oid("2.16.840.1.101.3.4.2.3")]);
        }
        let verified = judge(&forged.token(), &expected(), &trust);
        assert_eq!(verified.unwrap().algorithms.signature, scheme);
    }
    // PSS parameters that are not the digest's own.
    let mut weak = Forge::honest(&authority, "tsa-rsa", Key::RsaPss);
    for (digest, mask, salt) in [
        (forge::SHA256, forge::SHA256, 20),
        (forge::SHA256, "1.3.14.3.2.26", 32),
        ("1.3.14.3.2.26", "1.3.14.3.2.26", 20),
    ] {
        weak.signature_algorithm = forge::pss(digest, mask, salt);
        let verdict = judge(&weak.token(), &expected(), &trust);
        assert!(
            matches!(verdict, Err(Error::UnsupportedAlgorithm { .. })),
            "{verdict:?}"
        );
    }
}

#[test]
fn the_signer_may_be_named_by_its_key() {
    let authority = Authority::with_root().unwrap();
    let extensions = format!(
        "{}subjectKeyIdentifier=hash\n",
        testkit::authority::MAY_STAMP
    );
    authority
        .issue(&Issue {
            issuer: ROOT,
            extensions: &extensions,
            ..Issue::authority("tsa")
        })
        .unwrap();
    authority
        .issue(&Issue {
            issuer: ROOT,
            extensions: &extensions,
            key: RSA2048,
            ..Issue::authority("other")
        })
        .unwrap();
    let key_id = |name| {
        use x509_cert::der::Decode as _;
        let certificate =
            x509_cert::Certificate::from_der(certificate(&authority, name).as_der()).unwrap();
        let found = certificate
            .tbs_certificate()
            .get_extension::<x509_cert::ext::pkix::SubjectKeyIdentifier>();
        found.unwrap().unwrap().1.0.as_bytes().to_vec()
    };
    let mut forged = Forge::honest(&authority, "tsa", Key::Ec);
    forged.signer_version = 3;
    forged.signer_id = tlv(0x80, &[&key_id("tsa")]);
    judge(&forged.token(), &expected(), &trust(&authority)).unwrap();
    forged.signer_id = tlv(0x80, &[&key_id("other")]);
    let verdict = judge(&forged.token(), &expected(), &trust(&authority));
    assert_eq!(verdict, Err(Error::MissingSignerCertificate));
}
