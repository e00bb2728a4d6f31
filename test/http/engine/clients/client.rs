// reqwest, over hyper, which knows no expectation: `client keep URL STEP...`.
use reqwest::blocking::{Body, Client};
use std::{env, io::Read, thread::sleep, time::Duration};

/// A body without a length, which is sent in chunks.
struct Pieces(usize, u64);

impl Read for Pieces {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        if self.0 == 0 {
            sleep(Duration::from_millis(self.1));
        }
        let n = self.0.min(to.len());
        self.0 -= n;
        Ok(n)
    }
}

fn ask(client: &Client, url: &str, words: &[&str]) -> reqwest::Result<String> {
    let mut request = client.request(words[0].parse().unwrap(), format!("{url}{}", words[1]));
    if words.len() > 2 {
        let size: usize = words[3].parse().unwrap();
        request = request.body(match words[2] {
            "length" => Body::from(vec![b'x'; size]),
            "chunks" => Body::new(Pieces(size, 0)),
            "stall" => Body::sized(Pieces(10, size as u64), 1000),
            "stall-chunks" => Body::new(Pieces(10, size as u64)),
            _ => return Ok("cannot".into()),
        });
    }
    let answer = request.send()?;
    let status = answer.status().as_u16();
    let text = answer.text()?;
    Ok(format!("{status} {} {}", text.len(), if text.len() < 40 { &text } else { "" }))
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let client = Client::new();
    for step in &arguments[3..] {
        let words: Vec<&str> = step.split(' ').collect();
        if words[0] == "wait" {
            sleep(Duration::from_millis(words[1].parse().unwrap()));
        } else {
            println!("{}", ask(&client, &arguments[2], &words).unwrap_or_else(|error| format!("error {error:?}")));
        }
    }
}
