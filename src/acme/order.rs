//! One order, from the account to the chain (RFC 8555, 7.4).

use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeStatus, ChallengeType, Error, ExternalAccountKey,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::Acme;
use super::answers::Given;
use super::failure::{Failure, Kind, said};
use super::http::Http;
use super::store::Store;
use crate::config::AcmeChallenge;

/// How long a CA may take to look at the names, or to sign.
const PATIENCE: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(100));

impl Acme {
    /// Orders a certificate: its key, itself and its chain in PEM.
    pub(super) async fn order(&self) -> Result<String, Failure> {
        let http = Http::new(&self.settings);
        let ordered = self.ordered(&http).await;
        ordered.map_err(|failure| Failure { not_before: failure.not_before.or(http.not_before()), ..failure })
    }

    async fn ordered(&self, http: &Http) -> Result<String, Failure> {
        let mut order = self.begun(http).await?;
        let given = self.answered(&mut order).await?;
        let status = order.poll_ready(&PATIENCE).await;
        drop(given);
        match status {
            Ok(OrderStatus::Ready | OrderStatus::Valid) => {}
            Err(error @ (Error::Timeout(_) | Error::Other(_))) => return Err(error.into()),
            Ok(_) | Err(_) => return Err(self.why_not(&mut order, status.err()).await),
        }
        let made = request(&self.settings.domains.iter().map(ToString::to_string).collect::<Vec<_>>());
        let (key, csr) =
            made.map_err(|error| Failure::new(Kind::Unavailable, format!("no key can be made: {error}")))?;
        order.finalize_csr(&csr).await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        Ok(format!("{key}{chain}"))
    }

    /// An order of the account's. Where the CA knows the account no more, there is a new one.
    async fn begun(&self, http: &Http) -> Result<Order, Failure> {
        let identifiers: Vec<_> =
            self.settings.domains.iter().map(|name| Identifier::Dns(name.as_str().to_owned())).collect();
        let wanted = NewOrder::new(&identifiers);
        if let Some(account) = self.known(http).await? {
            match account.new_order(&wanted).await {
                Err(Error::Api(problem)) if is_unknown(&problem) => {
                    log::warn!("{self}: the CA knows the account no more; a new one is made");
                }
                begun => return Ok(begun?),
            }
        }
        Ok(self.registered(http).await?.new_order(&wanted).await?)
    }

    /// The account in the store.
    async fn known(&self, http: &Http) -> Result<Option<Account>, Failure> {
        let Some(text) = self.at_disk(Store::account).await? else { return Ok(None) };
        let credentials: AccountCredentials = match serde_json::from_str(&text) {
            Ok(credentials) => credentials,
            Err(error) => {
                log::warn!("{self}: the account in the store is broken ({error}); a new one is made");
                return Ok(None);
            }
        };
        Ok(Some(Account::builder_with_http(Box::new(http.clone())).from_credentials(credentials).await?))
    }

    /// A new account, in the store before it is used.
    async fn registered(&self, http: &Http) -> Result<Account, Failure> {
        let contact = self.settings.email.as_ref().map(|email| format!("mailto:{}", email.as_str()));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted =
            NewAccount { contact: &contact, terms_of_service_agreed: self.settings.agree, only_return_existing: false };
        let known = self.settings.eab.clone();
        let known = self.at_disk(move |_| known.map(|of| Ok((of.key()?, of.kid))).transpose()).await?;
        let known = known.map(|(key, kid)| ExternalAccountKey::new(kid, &key));
        let builder = Account::builder_with_http(Box::new(http.clone()));
        let (account, credentials) = builder.create(&wanted, self.settings.directory(), known.as_ref()).await?;
        let text = serde_json::to_string_pretty(&credentials);
        let text = text.map_err(|error| Failure::new(Kind::Unavailable, error.to_string()))?;
        self.at_disk(move |store| store.keep_account(&text)).await?;
        Ok(account)
    }

    /// Has everything that the CA wants to look at answered, and tells it to look.
    async fn answered(&self, order: &mut Order) -> Result<Vec<Given<'_>>, Failure> {
        let wanted = match self.settings.challenge {
            AcmeChallenge::Http01 => ChallengeType::Http01,
            AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        };
        let mut given = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                other => return Err(Failure::new(Kind::Refused, format!("an authorization is {other:?}"))),
            }
            let name = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(wanted.clone()) else {
                let kind = self.settings.challenge.as_str();
                return Err(Failure::new(Kind::Refused, format!("the CA does not offer `{kind}` for {name}")));
            };
            let answer = challenge.key_authorization();
            given.push(match self.settings.challenge {
                AcmeChallenge::Http01 => self.answers.give_to_request(&challenge.token, answer.as_str()),
                AcmeChallenge::TlsAlpn01 => self
                    .answers
                    .give_to_handshake(&name, answer.digest().as_ref())
                    .map_err(|why| Failure::new(Kind::Unavailable, why))?,
            });
            challenge.set_ready().await?;
        }
        Ok(given)
    }

    /// What the CA did not like about which name.
    async fn why_not(&self, order: &mut Order, error: Option<Error>) -> Failure {
        let mut whys = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            let Ok(state) = authorization.refresh().await else { continue };
            let name = state.identifier().to_string();
            let failed = state.challenges.iter().filter(|challenge| challenge.status == ChallengeStatus::Invalid);
            for challenge in failed {
                let why = challenge.error.as_ref().map_or_else(|| "the CA doesn't say why".to_owned(), said);
                whys.push(format!("{name} by {}: {why}", self.settings.challenge.as_str()));
            }
        }
        match error {
            Some(error) if whys.is_empty() => error.into(),
            _ if whys.is_empty() => Failure::new(Kind::Refused, "the CA did not accept the order, and doesn't say why"),
            _ => Failure::new(Kind::Refused, whys.join("; ")),
        }
    }
}

fn is_unknown(problem: &instant_acme::Problem) -> bool {
    problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist")
}

/// A new key (ECDSA on P-256, which every client knows) and the request to certify it.
fn request(names: &[String]) -> Result<(String, Vec<u8>), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate()?;
    let csr = params.serialize_request(&key)?;
    Ok((key.serialize_pem(), csr.der().to_vec()))
}
