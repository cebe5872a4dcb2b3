//! A flame graph as one SVG file: width is time, height is depth, the root at the bottom.
//!
//! Frames of equal functions over equal callers are one rectangle. What is narrower than
//! [`SHARE_MIN`] of the whole is left out, which bounds the file. A click zooms, a click on the
//! lowest row goes back, Ctrl-F searches; the script is in the file and loads nothing.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::profile::{Frame, Profile};

/// Renders a profile.
pub(super) fn render(profile: &Profile, title: &str) -> String {
    let mut root = Rectangle::default();
    for stack in profile.stacks() {
        let names = std::iter::once((stack.thread.name.clone(), Tone::Thread))
            .chain(stack.frames.iter().map(|frame| (frame.function.clone(), Tone::of(frame))));
        add(&mut root, names, stack.samples);
    }
    let mut page = Page { all: profile.samples().max(1), depth_max: 0, body: String::new() };
    page.draw("all", Tone::Thread, &root, 0, 0);
    page.finish(title, profile)
}

/// A function over its callers.
#[derive(Default)]
struct Rectangle {
    samples: u64,
    callees: BTreeMap<(String, Tone), Self>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tone {
    Thread,
    Program,
    Inlined,
    Library,
    Kernel,
}

struct Page {
    all: u64,
    depth_max: usize,
    body: String,
}

fn add(root: &mut Rectangle, names: impl Iterator<Item = (String, Tone)>, samples: u64) {
    root.samples += samples;
    let mut at = root;
    for name in names {
        at = at.callees.entry(name).or_default();
        at.samples += samples;
    }
}

impl Page {
    /// Draws a rectangle and what is on it; recursion is as deep as a stack, at most 1024 frames
    /// and what is inlined into them, each call small.
    fn draw(&mut self, name: &str, tone: Tone, it: &Rectangle, before: u64, depth: usize) {
        let (x, width) = (self.percent(before), self.percent(it.samples));
        if width < SHARE_MIN * 100.0 {
            return;
        }
        self.depth_max = self.depth_max.max(depth);
        let (name, color) = (escaped(name), tone.color());
        // Writing to a string does not fail.
        let _ = writeln!(
            self.body,
            "<g class=\"f\" data-x=\"{x:.4}\" data-w=\"{width:.4}\" data-d=\"{depth}\" \
             data-n=\"{name}\"><title>{name}: {} samples, {width:.2} %</title>\
             <rect height=\"15\" rx=\"1\" fill=\"{color}\"/><text/></g>",
            it.samples
        );
        let mut before = before;
        for ((name, tone), callee) in &it.callees {
            self.draw(name, *tone, callee, before, depth + 1);
            before += callee.samples;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a width needs no more than 53 bits")]
    fn percent(&self, samples: u64) -> f64 {
        samples as f64 * 100.0 / self.all as f64
    }

    fn finish(self, title: &str, profile: &Profile) -> String {
        let height = (self.depth_max + 1) * ROW + HEAD + 10;
        let losses = profile.losses();
        let missing = losses.records + losses.cut_stacks + losses.broken_stacks;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fbfbfb\"/>\n\
             <text x=\"10\" y=\"20\" font-size=\"15\">{}</text>\n\
             <text x=\"10\" y=\"38\" fill=\"#555\">{} samples at {} Hz; lost or incomplete: \
             {missing}. Click: zoom. Ctrl-F: search.</text>\n\
             <text id=\"told\" x=\"10\" y=\"54\" fill=\"#555\"/>\n{}\
             <script><![CDATA[\nconst HEIGHT={height},ROW={ROW},WIDTH={WIDTH};{SCRIPT}]]></script>\n\
             </svg>\n",
            escaped(title),
            profile.samples(),
            profile.frequency(),
            self.body,
        )
    }
}

impl Tone {
    fn of(frame: &Frame) -> Self {
        if frame.is_kernel {
            Self::Kernel
        } else if frame.is_inlined {
            Self::Inlined
        } else if frame.file.is_none() {
            Self::Library
        } else {
            Self::Program
        }
    }

    fn color(self) -> &'static str {
        match self {
            Self::Thread => "#d0d7de",
            Self::Program => "#ffb15c",
            Self::Inlined => "#ffd8a0",
            Self::Library => "#b9d7a8",
            Self::Kernel => "#e58b84",
        }
    }
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // XML has no way to write these.
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

const SHARE_MIN: f64 = 0.0002;
const WIDTH: usize = 1200;
const ROW: usize = 16;
const HEAD: usize = 64;

const SCRIPT: &str = r#"
const all=[...document.querySelectorAll('g.f')],told=document.getElementById('told');
function place(g,x,w){
 const px=10+x*(WIDTH-20),pw=Math.max(w*(WIDTH-20),0.5),y=HEIGHT-10-(+g.dataset.d+1)*ROW;
 const r=g.querySelector('rect'),t=g.querySelector('text'),n=g.dataset.n,c=Math.floor((pw-6)/6.2);
 r.setAttribute('x',px);r.setAttribute('width',pw);r.setAttribute('y',y);
 t.setAttribute('x',px+3);t.setAttribute('y',y+11);
 t.textContent=c<3?'':n.length<=c?n:n.slice(0,c-1)+'\u2026';
}
function zoom(z){
 const x0=+z.dataset.x,w0=+z.dataset.w,d0=+z.dataset.d,e=1e-3;
 for(const g of all){
  const x=+g.dataset.x,w=+g.dataset.w,d=+g.dataset.d;
  const below=d<d0&&x<=x0+e&&x+w>=x0+w0-e,on=d>=d0&&x>=x0-e&&x+w<=x0+w0+e;
  g.style.display=below||on?'':'none';
  if(below)place(g,0,1);else if(on)place(g,(x-x0)/w0,w/w0);
 }
}
function search(){
 const wanted=prompt('Functions whose name contains:');
 if(wanted===null)return;
 let samples=0,last=-1;
 for(const g of all){
  const is=wanted!==''&&g.dataset.n.includes(wanted),x=+g.dataset.x,w=+g.dataset.w;
  g.querySelector('rect').setAttribute('stroke',is?'#c026d3':'none');
  if(is&&x>=last-1e-6){samples+=w;last=x+w;}
 }
 told.textContent=wanted===''?'':'"'+wanted+'": '+samples.toFixed(2)+' %';
}
for(const g of all)g.addEventListener('click',()=>zoom(g));
addEventListener('keydown',e=>{if(e.ctrlKey&&e.key==='f'){e.preventDefault();search();}});
if(all.length)zoom(all[0]);
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_end_an_element() {
        assert_eq!(escaped("<T as \"X\">::f & g\0"), "&lt;T as &quot;X&quot;&gt;::f &amp; g ");
    }

    #[test]
    fn equal_functions_over_equal_callers_are_one() {
        let mut root = Rectangle::default();
        let names = |names: &[&str]| {
            let named: Vec<_> = names.iter().map(|n| ((*n).to_owned(), Tone::Program)).collect();
            named.into_iter()
        };
        add(&mut root, names(&["a", "b"]), 2);
        add(&mut root, names(&["a", "c"]), 3);
        assert_eq!((root.samples, root.callees.len()), (5, 1));
        assert_eq!(
            root.callees.values().next().map(|a| (a.samples, a.callees.len())),
            Some((5, 2))
        );
    }
}
