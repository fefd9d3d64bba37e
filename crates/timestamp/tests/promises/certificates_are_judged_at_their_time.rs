//! A chain is what RFC 5280 and RFC 3161 say, at the time in the token.

use crate::forge::{Forge, Key, certificate, expected, judge, trust};
use jiff::Timestamp;
use testkit::authority::{Authority, EC, INTERMEDIATE, Issue, MAY_ISSUE, MAY_STAMP, ROOT};
use timestamp::{Certificate, Error, Trust, Verified};

/// A certificate's name and extensions, and why it is refused.
type Case = (&'static str, String, fn(&Error) -> bool);

/// Signs with `chain[0]`, puts the chain into the token and judges it.
fn verdict(authority: &Authority, chain: &[&str], gen_time: &str) -> Result<Verified, Error> {
    let mut forged = Forge::honest(authority, chain[0], Key::Ec);
    forged.bag = chain
        .iter()
        .map(|name| certificate(authority, name).as_der().to_vec())
        .collect();
    forged.info.gen_time = gen_time.to_owned();
    judge(&forged.token(), &expected(), &trust(authority))
}

fn issue(authority: &Authority, name: &str, issuer: &str, extensions: &str) {
    let issue = Issue {
        issuer,
        extensions,
        ..Issue::authority(name)
    };
    authority.issue(&issue).unwrap();
}

const GEN_TIME: &str = "20260101120000Z";

#[test]
fn what_an_authority_may_be() {
    let authority = Authority::new().unwrap();
    let usage = |text: &str| {
        format!("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n{text}\n")
    };
    let key_usage =
        |text: &str| format!("keyUsage=critical,{text}\nextendedKeyUsage=critical,timeStamping\n");
    let cases: &[Case] = &[
        ("no-usage", usage(""), |e| {
            matches!(e, Error::NotForTimeStamping(_))
        }),
        (
            "other-usage",
            usage("extendedKeyUsage=critical,serverAuth"),
            |e| matches!(e, Error::NotForTimeStamping(_)),
        ),
        (
            "any-usage",
            usage("extendedKeyUsage=critical,anyExtendedKeyUsage"),
            |e| matches!(e, Error::NotForTimeStamping(_)),
        ),
        (
            "two-usages",
            usage("extendedKeyUsage=critical,timeStamping,codeSigning"),
            |e| matches!(e, Error::OtherUsages(_)),
        ),
        (
            "unknown-usage",
            usage("extendedKeyUsage=critical,timeStamping,1.2.3.4"),
            |e| matches!(e, Error::OtherUsages(_)),
        ),
        (
            "uncritical-usage",
            usage("extendedKeyUsage=timeStamping"),
            |e| matches!(e, Error::UsageNotCritical(_)),
        ),
        ("enciphers", key_usage("keyEncipherment"), |e| {
            matches!(e, Error::KeyUsage(_))
        }),
        (
            "signs-and-enciphers",
            key_usage("digitalSignature,keyEncipherment"),
            |e| matches!(e, Error::KeyUsage(_)),
        ),
        (
            "issuer",
            format!("{MAY_ISSUE}extendedKeyUsage=critical,timeStamping\n"),
            |e| matches!(e, Error::SignerIsAuthority(_)),
        ),
        (
            "unknown",
            format!("{MAY_STAMP}1.2.3.4=critical,ASN1:NULL\n"),
            |e| matches!(e, Error::UnknownCriticalExtension { .. }),
        ),
    ];
    for (name, extensions, refused) in cases {
        authority
            .issue(&Issue {
                extensions,
                ..Issue::authority(name)
            })
            .unwrap();
        let verdict = verdict(&authority, &[name, INTERMEDIATE], GEN_TIME);
        assert!(verdict.as_ref().is_err_and(refused), "{name}: {verdict:?}");
    }
    let good = [
        (
            "without-key-usage",
            "extendedKeyUsage=critical,timeStamping\n".to_owned(),
        ),
        ("commits", key_usage("nonRepudiation")),
        (
            "unknown-uncritical",
            format!("{MAY_STAMP}1.2.3.4=ASN1:NULL\n"),
        ),
    ];
    for (name, extensions) in good {
        authority
            .issue(&Issue {
                extensions: &extensions,
                ..Issue::authority(name)
            })
            .unwrap();
        verdict(&authority, &[name, INTERMEDIATE], GEN_TIME).unwrap();
    }
}

#[test]
fn what_an_issuer_may_be() {
    let authority = Authority::with_root().unwrap();
    let below_root: &[Case] = &[
        (
            "no-constraints",
            "keyUsage=critical,keyCertSign\n".into(),
            |e| matches!(e, Error::NotAuthority(_)),
        ),
        (
            "no-authority",
            "basicConstraints=critical,CA:FALSE\n".into(),
            |e| matches!(e, Error::NotAuthority(_)),
        ),
        (
            "no-cert-sign",
            "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,cRLSign\n".into(),
            |e| matches!(e, Error::KeyUsage(_)),
        ),
        (
            "for-servers",
            format!("{MAY_ISSUE}extendedKeyUsage=serverAuth\n"),
            |e| matches!(e, Error::NotForTimeStamping(_)),
        ),
        (
            "unknown",
            format!("{MAY_ISSUE}1.2.3.4=critical,ASN1:NULL\n"),
            |e| matches!(e, Error::UnknownCriticalExtension { .. }),
        ),
        (
            "constrained",
            format!("{MAY_ISSUE}nameConstraints=critical,permitted;DNS:example.com\n"),
            |e| matches!(e, Error::UnknownCriticalExtension { .. }),
        ),
    ];
    for (name, extensions, refused) in below_root {
        issue(&authority, name, ROOT, extensions);
        let leaf = format!("tsa-of-{name}");
        issue(&authority, &leaf, name, MAY_STAMP);
        let verdict = verdict(&authority, &[&leaf, name], GEN_TIME);
        assert!(verdict.as_ref().is_err_and(refused), "{name}: {verdict:?}");
    }
    for (name, extensions) in [
        ("for-stamps", "extendedKeyUsage=timeStamping\n"),
        ("for-anything", "extendedKeyUsage=anyExtendedKeyUsage\n"),
    ] {
        issue(&authority, name, ROOT, &format!("{MAY_ISSUE}{extensions}"));
        let leaf = format!("tsa-of-{name}");
        issue(&authority, &leaf, name, MAY_STAMP);
        verdict(&authority, &[&leaf, name], GEN_TIME).unwrap();
    }

    // A limit of one: one more intermediate may follow, two may not.
    issue(
        &authority,
        "one",
        ROOT,
        "basicConstraints=critical,CA:TRUE,pathlen:1\n",
    );
    issue(&authority, "two", "one", MAY_ISSUE);
    issue(&authority, "three", "two", MAY_ISSUE);
    issue(&authority, "tsa-2", "two", MAY_STAMP);
    issue(&authority, "tsa-3", "three", MAY_STAMP);
    verdict(&authority, &["tsa-2", "two", "one"], GEN_TIME).unwrap();
    let verdict_of_three = verdict(&authority, &["tsa-3", "three", "two", "one"], GEN_TIME);
    assert!(
        matches!(
            verdict_of_three,
            Err(Error::PathLengthExceeded { limit: 1, .. })
        ),
        "{verdict_of_three:?}"
    );
}

#[test]
fn a_chain_is_bounded() {
    let authority = Authority::with_root().unwrap();
    let mut names = vec![ROOT.to_owned()];
    for depth in 0..7 {
        let name = format!("level-{depth}");
        let issuer = names.last().unwrap().clone();
        authority
            .issue(&Issue {
                issuer: &issuer,
                extensions: MAY_ISSUE,
                ..Issue::authority(&name)
            })
            .unwrap();
        names.push(name);
    }
    for (levels, fits) in [(6, true), (7, false)] {
        let leaf = format!("tsa-{levels}");
        authority
            .issue(&Issue {
                issuer: &names[levels],
                ..Issue::authority(&leaf)
            })
            .unwrap();
        let mut chain: Vec<&str> = names[..=levels].iter().rev().map(String::as_str).collect();
        chain.insert(0, &leaf);
        let verdict = verdict(&authority, &chain, GEN_TIME);
        match verdict {
            Ok(verified) => assert!(fits && verified.chain.len() == timestamp::MAX_CHAIN),
            Err(error) => assert!(!fits && error == Error::ChainTooLong, "{error}"),
        }
    }

    // Certificates that issue each other in circles and namesakes by the dozen end the search.
    let mut twins = Vec::new();
    for twin in 0..30 {
        let name = format!("twin-{twin}");
        let issuer = if twin == 0 {
            name.clone()
        } else {
            "twin-0".to_owned()
        };
        authority
            .issue(&Issue {
                subject: "twin",
                issuer: &issuer,
                extensions: MAY_ISSUE,
                ..Issue::authority(&name)
            })
            .unwrap();
        twins.push(name);
    }
    authority
        .issue(&Issue {
            issuer: "twin-0",
            ..Issue::authority("tsa-of-twin")
        })
        .unwrap();
    let mut chain = vec!["tsa-of-twin"];
    chain.extend(twins.iter().map(String::as_str));
    let verdict = verdict(&authority, &chain, GEN_TIME);
    assert!(verdict.is_err(), "{verdict:?}");
}

#[test]
fn validity_is_judged_at_the_time_in_the_token() {
    let authority = Authority::new().unwrap();
    let old = ("210101000000Z", "220101000000Z");
    authority
        .issue(&Issue {
            validity: old,
            ..Issue::authority("old-tsa")
        })
        .unwrap();
    authority
        .issue(&Issue {
            validity: old,
            issuer: ROOT,
            extensions: MAY_ISSUE,
            ..Issue::authority("old-ca")
        })
        .unwrap();
    authority
        .issue(&Issue {
            issuer: "old-ca",
            ..Issue::authority("tsa-of-old-ca")
        })
        .unwrap();

    for chain in [&["old-tsa", INTERMEDIATE][..], &["tsa-of-old-ca", "old-ca"]] {
        // Long expired today, and good when it stamped.
        for time in ["20210101000000Z", "20210601120000Z", "20220101000000Z"] {
            verdict(&authority, chain, time).unwrap();
        }
        let early = verdict(&authority, chain, "20201231235959Z");
        assert!(matches!(early, Err(Error::NotYetValid { .. })), "{early:?}");
        let late = verdict(&authority, chain, "20220101000001Z");
        assert!(matches!(late, Err(Error::Expired { .. })), "{late:?}");
    }

    // Unless the caller asks for another time too.
    let forged = {
        let mut forged = Forge::honest(&authority, "old-tsa", Key::Ec);
        forged.info.gen_time = "20210601120000Z".into();
        forged.token()
    };
    let at = |text: &str| trust(&authority).also_valid_at(text.parse::<Timestamp>().unwrap());
    judge(&forged, &expected(), &at("2021-12-31T00:00:00Z")).unwrap();
    let today = judge(&forged, &expected(), &at("2026-01-01T00:00:00Z"));
    assert!(matches!(today, Err(Error::Expired { .. })), "{today:?}");
}

#[test]
fn certificates_may_come_from_elsewhere_and_be_stored_within() {
    let authority = Authority::new().unwrap();
    let [tsa, intermediate, root] =
        ["tsa-ec", INTERMEDIATE, ROOT].map(|name| certificate(&authority, name));
    let mut forged = Forge::honest(&authority, "tsa-ec", Key::Ec);
    forged.bag.clear();
    let bare = timestamp::Token::from_der(&forged.token()).unwrap();
    assert_eq!(
        bare.verify(&expected(), &trust(&authority)),
        Err(Error::MissingSignerCertificate)
    );
    let supplied = trust(&authority).with_intermediates(vec![intermediate, tsa.clone()]);
    let verified = bare.verify(&expected(), &supplied).unwrap();
    assert_eq!(verified.chain.len(), 3);

    // Stored with its chain it needs the root alone, for us and for openssl.
    let stored = bare.with_certificates(&verified.chain).unwrap();
    assert_eq!(stored.claims(), bare.claims());
    assert_eq!(
        stored.verify(&expected(), &trust(&authority)).unwrap(),
        verified
    );
    assert_eq!(stored.with_certificates(&[]).unwrap(), bare);
    std::fs::write(authority.dir().join("stored.der"), stored.as_der()).unwrap();
    let imprint = hex::encode(crate::forge::IMPRINT);
    authority
        .openssl(&[
            "ts",
            "-verify",
            "-digest",
            &imprint,
            "-in",
            "stored.der",
            "-token_in",
            "-CAfile",
            "root.pem",
        ])
        .unwrap();

    // The authority's own certificate may be pinned; an issuer's beside it is not trusted for that.
    let pinned = Trust::new(vec![tsa]).unwrap();
    assert_eq!(bare.verify(&expected(), &pinned).unwrap().chain.len(), 1);
    assert_eq!(Trust::new(Vec::new()).unwrap_err(), Error::NoRoots);
    assert!(bare.with_certificates(&vec![root; 33]).is_err());
}

#[test]
fn a_certificate_is_read_whole_and_written_back() {
    let authority = Authority::with_root().unwrap();
    let pem = authority.pem(ROOT).unwrap();
    let text = format!("subject=/CN=root\n{pem}# and again\n{pem}");
    let read = Certificate::from_pem(&text).unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].to_pem(), pem);
    assert_eq!(read[0].subject(), "CN=root,O=Tachograph tests");
    assert_eq!(read[0].not_before().to_string(), "2020-01-01T00:00:00Z");
    let der = read[0].as_der();
    for cut in 0..der.len() {
        assert!(Certificate::from_der(&der[..cut]).is_err());
    }
    assert!(Certificate::from_der(&[der, &[0]].concat()).is_err());
    for broken in [
        "",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----",
    ] {
        assert!(Certificate::from_pem(broken).is_err(), "{broken}");
    }
}

#[test]
fn a_root_of_the_same_name_is_not_the_issuer() {
    let (authority, namesake) = (Authority::new().unwrap(), Authority::new().unwrap());
    let (root, other) = (certificate(&authority, ROOT), certificate(&namesake, ROOT));
    assert_eq!(root.subject(), other.subject());
    let token = Forge::honest(&authority, EC, Key::Ec).token();
    let under = |roots| judge(&token, &expected(), &Trust::new(roots).unwrap());

    let verdict = under(vec![other.clone()]);
    assert!(
        matches!(verdict, Err(Error::NoPinnedRoot { .. })),
        "{verdict:?}"
    );
    for roots in [vec![root.clone(), other.clone()], vec![other, root.clone()]] {
        assert_eq!(under(roots).unwrap().chain.last(), Some(&root));
    }
}
