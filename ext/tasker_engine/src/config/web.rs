//! Owns: the web server's settings: from Ruby's `configure`, else from `TASKER_WEB_…`, else the defaults.
//! Refuses: to fail because of the environment. What cannot be used there is one line and the default.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Where the server listens unless told otherwise.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PORT: u16 = 8081;
/// What the environment may set.
const VARIABLES: [&str; 4] = ["TASKER_WEB_ENABLED", "TASKER_WEB_BIND", "TASKER_WEB_PORT", "TASKER_WEB_TOKEN"];
/// Characters of a value that a warning shows.
const SHOWN: usize = 100;

/// What a process may set about its web server. What is absent comes from the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// Instead of `TASKER_WEB_ENABLED`; default true.
    pub enabled: Option<bool>,
    /// Instead of `TASKER_WEB_BIND`: an IP address; default 127.0.0.1.
    pub bind: Option<String>,
    /// Instead of `TASKER_WEB_PORT`; default 8081, and 0 is any free one.
    #[serde(deserialize_with = "port")]
    pub port: Option<u16>,
    /// Instead of `TASKER_WEB_TOKEN`: what callers must bring as a bearer token; default none.
    pub token: Option<Token>,
}

/// A secret: never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[masked]")
    }
}

/// The settings as they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSettings {
    /// Whether there is a web server.
    pub enabled: bool,
    /// Where it listens.
    pub address: SocketAddr,
    /// What callers must bring.
    pub token: Option<Token>,
    /// What could not be used, one sentence each, for the console.
    pub warnings: Vec<String>,
}

impl WebConfig {
    /// These settings on top of the process's environment.
    pub fn resolve(&self) -> WebSettings {
        self.resolve_from(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// As [`WebConfig::resolve`], from any source of variables: for tests.
    pub fn resolve_from(&self, vars: impl Fn(&str) -> Option<String>) -> WebSettings {
        let mut warnings = Vec::new();
        for name in VARIABLES {
            if vars(name).is_some_and(|value| value.contains(char::REPLACEMENT_CHARACTER)) {
                warnings.push(format!("{name} cannot be used; it is not UTF-8: taken as unset"));
            }
        }
        let usable = |value: &String| !value.is_empty() && !value.contains(char::REPLACEMENT_CHARACTER);
        let text = |name: &str| vars(name).map(|value| value.trim().to_owned()).filter(usable);
        let shown = |value: &str| -> String { value.chars().take(SHOWN).collect() };
        let enabled = self.enabled.unwrap_or_else(|| match text("TASKER_WEB_ENABLED") {
            None => true,
            Some(value) => flag(&value).unwrap_or_else(|| {
                warnings.push(format!(
                    "TASKER_WEB_ENABLED={:?} cannot be used; it must be true or false: taken as true",
                    shown(&value)
                ));
                true
            }),
        });
        let port = self.port.unwrap_or_else(|| match text("TASKER_WEB_PORT") {
            None => PORT,
            Some(value) => value.parse().unwrap_or_else(|_| {
                warnings.push(format!(
                    "TASKER_WEB_PORT={:?} cannot be used; it must be from 0 to 65535: using {PORT}",
                    shown(&value)
                ));
                PORT
            }),
        });
        let token =
            self.token.clone().or_else(|| text("TASKER_WEB_TOKEN").map(Token)).filter(|token| !token.0.is_empty());
        let mut ip = LOOPBACK;
        if let Some(value) = self.bind.clone().or_else(|| text("TASKER_WEB_BIND")) {
            match value.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(address) => ip = address,
                Err(_) if value == "localhost" => {}
                Err(_) => warnings.push(format!(
                    "TASKER_WEB_BIND={:?} cannot be used; it must be an IP address such as 127.0.0.1 or 0.0.0.0: using {LOOPBACK}",
                    shown(&value)
                )),
            }
        }
        if !ip.is_loopback() && token.is_none() {
            warnings.push(format!(
                "TASKER_WEB_BIND={ip} needs a TASKER_WEB_TOKEN for metrics: without one only /health is answered, with up or down"
            ));
        }
        WebSettings { enabled, address: SocketAddr::new(ip, port), token, warnings }
    }
}

fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let given = Option::<serde_json::Value>::deserialize(deserializer)?;
    let Some(given) = given else { return Ok(None) };
    let fits = given.as_u64().and_then(|number| u16::try_from(number).ok());
    fits.map(Some).ok_or_else(|| D::Error::custom(format!("web: port must be from 0 to 65535, and is {given}")))
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(config: &WebConfig, vars: &[(&str, &str)]) -> WebSettings {
        config.resolve_from(|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn by_default_it_answers_this_machine() {
        let settings = settings(&WebConfig::default(), &[]);
        assert_eq!((settings.enabled, settings.address.to_string().as_str()), (true, "127.0.0.1:8081"));
        assert!(settings.warnings.is_empty());
    }

    #[test]
    fn what_is_configured_wins_over_the_environment() {
        let vars = [("TASKER_WEB_PORT", "1"), ("TASKER_WEB_BIND", "127.0.0.2"), ("TASKER_WEB_ENABLED", "off")];
        assert_eq!(settings(&WebConfig::default(), &vars).address.to_string(), "127.0.0.2:1");
        let config = WebConfig { enabled: Some(true), port: Some(2), ..WebConfig::default() };
        let settings = settings(&config, &vars);
        assert_eq!((settings.enabled, settings.address.to_string().as_str()), (true, "127.0.0.2:2"));
    }

    #[test]
    fn each_bad_value_is_one_warning_and_the_default() {
        let vars = [("TASKER_WEB_PORT", "http"), ("TASKER_WEB_BIND", "example.org"), ("TASKER_WEB_ENABLED", "maybe")];
        let settings = settings(&WebConfig::default(), &vars);
        assert_eq!((settings.enabled, settings.address.to_string().as_str()), (true, "127.0.0.1:8081"));
        assert_eq!(settings.warnings.len(), 3);
    }

    #[test]
    fn what_is_not_utf_8_is_not_used() {
        let vars: Vec<_> = VARIABLES.iter().map(|name| (*name, "hu\u{fffd}sh")).collect();
        let settings = settings(&WebConfig::default(), &vars);
        assert_eq!((settings.enabled, settings.token, settings.warnings.len()), (true, None, 4));
        assert!(settings.warnings.iter().all(|warning| !warning.contains("sh\"")));
    }

    #[test]
    fn metrics_on_other_interfaces_need_a_token_which_is_never_shown() {
        let open = settings(&WebConfig::default(), &[("TASKER_WEB_BIND", "0.0.0.0")]);
        assert_eq!(open.address.to_string(), "0.0.0.0:8081");
        assert!(open.warnings[0].contains("TASKER_WEB_TOKEN"));
        let shut = settings(&WebConfig::default(), &[("TASKER_WEB_BIND", "[::]"), ("TASKER_WEB_TOKEN", "hush")]);
        assert_eq!(shut.address.to_string(), "[::]:8081");
        assert!(!format!("{shut:?}").contains("hush"));
    }
}
