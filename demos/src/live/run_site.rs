//! The page about a run.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Hub;
use super::server::{Answer, Event, Site};
use crate::config::{Config, Loss};
use crate::files;
use crate::run_dir::RunDir;

/// The most bytes of a picture.
const MOST_BYTES: u64 = 1 << 27;

/// The page about a run in training, or about one that another program trains, or one that is over.
pub struct RunSite {
    hub: Arc<Hub>,
    samples: PathBuf,
    about: Value,
    /// Why there are no buttons, if there are none.
    only_looks: Option<String>,
}

impl RunSite {
    /// The page about this hub. Without buttons it says why.
    pub fn new(hub: Arc<Hub>, dir: &RunDir, config: &Config, only_looks: Option<String>) -> RunSite {
        let settings = serde_json::to_value(config).unwrap_or_default();
        let about = json!({
            "title": format!("{} on {}", config.method.flag(), config.data_title()),
            "dir": dir.path().display().to_string(),
            "steps": config.steps,
            "wasserstein": config.loss == Loss::Wasserstein,
            "logits": matches!(config.loss, Loss::Standard | Loss::Saturating),
            "penalty": config.gp_lambda.is_some(),
            "settings": settings,
            "only_looks": only_looks,
        });
        RunSite { hub, samples: dir.path().join("samples"), about, only_looks }
    }
}

impl Site for RunSite {
    fn page(&self) -> String {
        super::page(include_str!("page/run.html")).replace("/*RUN*/", include_str!("page/run.js"))
    }

    /// `/samples/STEP.png` and `/attention/STEP.png`.
    fn get(&self, path: &str) -> Option<Answer> {
        let (what, step) = path.strip_prefix('/')?.strip_suffix(".png")?.split_once('/')?;
        let step: u64 = step.parse().ok()?;
        if what == "attention" {
            return self.hub.attention(step).map(Answer::png);
        } else if what != "samples" {
            return None;
        }
        let file = self.samples.join(format!("step-{step:06}.png"));
        files::read(&file, MOST_BYTES).ok().flatten().map(Answer::png)
    }

    fn post(&self, path: &str, _: &Value) -> Option<Result<Answer, String>> {
        let act: fn(&Hub) -> bool = match path {
            "/do/pause" => Hub::pause,
            "/do/go-on" => Hub::go_on,
            "/do/stop" => Hub::stop,
            _ => return None,
        };
        if let Some(reason) = &self.only_looks {
            return Some(Err(reason.clone()));
        }
        Some(Ok(Answer::json(&json!({ "done": act(&self.hub) }))))
    }

    fn events(self: Arc<Self>) -> Box<dyn Iterator<Item = Option<Event>> + Send> {
        Box::new(self.hub.events(self.about.clone()))
    }
}
