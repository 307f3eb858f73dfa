//! A browser without script: it follows where it is sent, and sends the forms that it is shown.

use axum::{
    Router,
    body::{Body, to_bytes},
    response::Response,
};
use http::{
    Method, Request,
    header::{CONTENT_TYPE, COOKIE, HOST, LOCATION, REFERER},
};
use tower::ServiceExt;

/// A browser with its cookies, as a header has them, and the way to the server.
pub struct Browser<S> {
    pub send: S,
    pub cookies: String,
}

/// A browser in front of an application in this process.
pub fn of(app: &Router, cookies: &str) -> Browser<impl AsyncFn(Request<Body>) -> Response<Body> + use<>> {
    let app = app.clone();
    let send = async move |request| app.clone().oneshot(request).await.unwrap();
    Browser { send, cookies: cookies.to_owned() }
}

/// What a browser shows in the end, and where.
#[derive(Debug)]
pub struct Shown {
    pub status: u16,
    pub path: String,
    pub html: String,
}

impl<S: AsyncFn(Request<Body>) -> Response<Body>> Browser<S> {
    /// Goes somewhere, such as `GET /cards/1`, and follows where it is sent. A form comes from `/transfers/new`.
    pub async fn navigate(&self, request: &str, form: &str) -> Shown {
        let (method, path) = request.split_once(' ').unwrap();
        let (mut method, mut path, mut form) = (method.parse().unwrap(), path.to_owned(), form.to_owned());
        for _ in 0..10 {
            let mut request = Request::builder().method(&method).uri(&path).header(HOST, "bank.example");
            if !self.cookies.is_empty() {
                request = request.header(COOKIE, &self.cookies);
            }
            let request = request
                .header(REFERER, "https://bank.example/transfers/new")
                .header("sec-fetch-mode", "navigate")
                .header("sec-fetch-site", "same-origin")
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            let response = (self.send)(request.body(Body::from(form)).unwrap()).await;
            let Some(location) = response.headers().get(LOCATION) else {
                let status = response.status().as_u16();
                let html = to_bytes(response.into_body(), 1 << 16).await.unwrap();
                return Shown { status, path, html: String::from_utf8(html.into()).unwrap() };
            };
            location.to_str().unwrap().clone_into(&mut path);
            (method, form) = (Method::GET, String::new());
        }
        panic!("{request} leads in a circle, at {path}")
    }

    /// Is sent a code on the page that is shown, and enters that of the sandbox.
    pub async fn step_up(&self, page: &Shown) -> Shown {
        let start = "/stepup/challenges/page/start";
        let sent = self.navigate(&format!("POST {start}"), &page.fields(start)).await;
        let verify = "/stepup/challenges/page/verify";
        let form = format!("{}&code=123456", sent.fields(verify));
        self.navigate(&format!("POST {verify}"), &form).await
    }
}

impl Shown {
    /// The fields of the form that goes there.
    fn fields(&self, action: &str) -> String {
        let mut forms = self.html.split("<form ");
        let form = forms.find(|form| form.contains(action)).unwrap_or_else(|| panic!("{action} in {self:?}"));
        let form = form.split("</form>").next().unwrap();
        let value =
            |tag: &str, name: &str| tag.split(&format!("{name}=\"")).nth(1)?.split('"').next().map(str::to_owned);
        let inputs = form.split("<input ").skip(1).filter_map(|tag| Some((value(tag, "name")?, value(tag, "value")?)));
        inputs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }
}
