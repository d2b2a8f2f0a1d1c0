//! Pages that show work while it goes on, in a browser of this machine: a run of training (`gan train --live`, `gan
//! live RUN`), a toy in the plane (`gan toy --live`).
//!
//! [`server`] speaks HTTP, and knows nothing of GANs. A [`Hub`] holds what a page is to show of a run; training puts
//! numbers into it and waits for nobody, the server's threads take them out. [`RunSite`] is the page about a hub,
//! [`Look`] what is seen inside the nets at one moment, [`Follower`] fills a hub from the files of a run. [`ToySite`]
//! is the page about a toy, which a [`Worker`] trains.

mod follow;
mod hub;
mod look;
mod request;
mod run_site;
pub mod server;
mod toy_site;
mod toy_worker;

pub use follow::Follower;
pub use hub::{Hub, Status};
pub use look::{Layer, Look, Looks};
pub use run_site::RunSite;
pub use toy_site::ToySite;
pub use toy_worker::Worker;

/// A page, whole, from its own part: the style and the charts are the same for all.
fn page(own: &str) -> String {
    let parts =
        [("/*STYLE*/", include_str!("live/page/style.css")), ("/*CHARTS*/", include_str!("live/page/charts.js"))];
    parts.iter().fold(own.to_string(), |page, (place, part)| page.replace(place, part))
}
