//! Chromium without a window, spoken to by its devtools protocol:
//! <https://chromedevtools.github.io/devtools-protocol/>.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

/// How long a page may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Browser {
    process: Child,
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    session: String,
    last_id: u64,
    /// What the page's scripts, or the browser about them, have complained of.
    complaints: Vec<String>,
    /// Its profile.
    _home: TempDir,
}

impl Browser {
    /// Starts it with an empty page.
    pub fn start() -> Browser {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromium");
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0"]);
        command.arg(format!("--user-data-dir={}", home.path().display())).arg("about:blank");
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("chromium starts");
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| line.ok()?.strip_prefix("DevTools listening on ").map(String::from));
        // It stops once nobody reads what it says.
        std::thread::spawn(move || lines.for_each(drop));
        let (socket, _) = tungstenite::connect(address.expect("an address of the devtools")).unwrap();
        let session = String::new();
        let mut browser = Browser { process, socket, session, last_id: 0, complaints: Vec::new(), _home: home };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = attached["sessionId"].as_str().unwrap().into();
        for domain in ["Runtime", "Log", "Page"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.call("Emulation.setScrollbarsHidden", json!({ "hidden": true }));
        browser
    }

    /// Calls a method, and gives its result; what happens meanwhile is looked at for complaints.
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        self.socket.send(Message::text(message.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.socket.read().unwrap() else { continue };
            let found: Value = serde_json::from_str(&text).unwrap();
            if found["id"] == self.last_id {
                assert!(found["error"].is_null(), "{method}: {found}");
                return found["result"].clone();
            }
            self.listen(&found);
        }
    }

    fn listen(&mut self, event: &Value) {
        let params = &event["params"];
        let complains = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => ["error", "warning", "assert"].iter().any(|t| params["type"] == *t),
            Some("Log.entryAdded") => ["error", "warning"].iter().any(|level| params["entry"]["level"] == *level),
            _ => false,
        };
        if complains {
            self.complaints.push(params.to_string());
        }
    }

    /// Opens a page in a window of this width.
    pub fn open(&mut self, url: &str, width: u32) {
        self.set_width(width);
        self.call("Page.navigate", json!({ "url": url }));
        self.wait_for("document.readyState === 'complete'");
    }

    /// Makes the window so wide.
    pub fn set_width(&mut self, width: u32) {
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// As of a person who likes it dark, or light.
    pub fn set_dark(&mut self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let feature = json!([{ "name": "prefers-color-scheme", "value": value }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": feature }));
    }

    /// The value of an expression of JavaScript in the page.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let found = self.call("Runtime.evaluate", params);
        assert!(found["exceptionDetails"].is_null(), "{expression}: {found}");
        found["result"]["value"].clone()
    }

    /// The text of an element, by its id.
    #[track_caller]
    pub fn text(&mut self, id: &str) -> String {
        self.value(&format!("document.getElementById('{id}').textContent")).as_str().unwrap().into()
    }

    /// The number that an element shows; 0 if it is none.
    #[track_caller]
    pub fn number(&mut self, id: &str) -> f64 {
        self.text(id).parse().unwrap_or(0.0)
    }

    /// Presses a button as a person does, if it can be pressed.
    #[track_caller]
    pub fn press(&mut self, id: &str) {
        let pressed = format!(
            "(() => {{ const b = document.getElementById('{id}'), can = !b.disabled; b.click(); return can }})()"
        );
        assert_eq!(self.value(&pressed), true, "the button {id} cannot be pressed");
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn wait_for(&mut self, expression: &str) {
        let start = Instant::now();
        while self.value(expression) != true {
            assert!(start.elapsed() < PATIENCE, "{expression} has not come true; the page says:\n{}", self.page_text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn page_text(&mut self) -> Value {
        self.value("document.body.innerText")
    }

    /// Refuses what has been complained of, and a page that is wider than the window.
    #[track_caller]
    pub fn check(&mut self) {
        let [wide, window] = ["scrollWidth", "clientWidth"]
            .map(|what| self.value(&format!("document.documentElement.{what}")).as_u64().unwrap());
        assert!(wide <= window, "the page is {wide} wide in a window of {window}");
        assert!(self.complaints.is_empty(), "{}", self.complaints.join("\n"));
    }

    /// A picture of the whole page.
    pub fn picture(&mut self, path: &Path) {
        let params = json!({ "captureBeyondViewport": true });
        let found = self.call("Page.captureScreenshot", params);
        let png = BASE64_STANDARD.decode(found["data"].as_str().unwrap()).unwrap();
        std::fs::write(path, png).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
