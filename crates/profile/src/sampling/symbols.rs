//! From addresses to functions with their inlined callees, files and lines.
//!
//! Looked up once for each address after the recording. Debug information comes from the file
//! itself, else from what the distribution keeps under its build id; without either the symbol
//! table names the function, and without that the address stands for itself.

use std::collections::HashMap;

use addr2line::{Loader, demangle_auto};

use super::image::{ImageId, Images};
use super::kernel::KernelSymbols;
use super::processes::Processes;
use super::profile::Frame;
use super::stacks::{Code, Place};

/// Symbols of files and of the kernel, opened when they are first asked for.
pub(crate) struct Symbols<'a> {
    images: &'a Images,
    files: HashMap<ImageId, Files>,
    kernel: Option<KernelSymbols>,
}

/// Where an image's symbols come from, the best first.
#[derive(Default)]
struct Files(Vec<Loader>);

impl<'a> Symbols<'a> {
    pub(crate) fn new(images: &'a Images) -> Self {
        Self { images, files: HashMap::new(), kernel: None }
    }

    /// Returns the functions at an address, the outermost first; at least one.
    pub(crate) fn resolve(&mut self, place: Place) -> Vec<Frame> {
        match place.code {
            Code::Unknown => vec![Frame::unnamed("[unknown]", "[unknown]")],
            Code::Kernel => {
                let kernel = self.kernel.get_or_insert_with(KernelSymbols::read);
                let name = kernel.name(place.address).unwrap_or("[kernel]");
                vec![Frame { is_kernel: true, ..Frame::unnamed(name, "[kernel]") }]
            }
            Code::Image(id) => self.resolve_image(id, place.address),
        }
    }

    fn resolve_image(&mut self, id: ImageId, address: u64) -> Vec<Frame> {
        let image = self.images.get(id);
        let files = self.files.entry(id).or_insert_with(|| {
            let paths = [&image.path, &image.debug_path];
            Files(paths.into_iter().flatten().filter_map(|path| Loader::new(path).ok()).collect())
        });
        let module = image.name.as_str();
        let symbol = files.symbol(address);
        let mut frames = files.frames(address, module);
        match (frames.first_mut(), symbol) {
            // The symbol table has the whole path of what the line tables call by its last name.
            (Some(outermost), Some(symbol)) => {
                if outermost.function.is_empty() || is_tail(&outermost.function, &symbol) {
                    outermost.function = symbol;
                }
            }
            (None, Some(symbol)) => frames.push(Frame::unnamed(&symbol, module)),
            (None, None) => {
                let file = module.rsplit('/').next().unwrap_or(module);
                frames.push(Frame::unnamed(&format!("{file}+{address:#x}"), module));
            }
            (Some(_), None) => {}
        }
        for frame in frames.iter_mut().filter(|frame| frame.function.is_empty()) {
            "[unnamed]".clone_into(&mut frame.function);
        }
        frames
    }
}

impl Files {
    fn symbol(&self, address: u64) -> Option<String> {
        let name = self.0.iter().find_map(|file| file.find_symbol(address))?;
        Some(demangle_auto(name.into(), None).into_owned())
    }

    /// Returns what debug information says, the outermost function first.
    fn frames(&self, address: u64, module: &str) -> Vec<Frame> {
        for file in &self.0 {
            let Ok(mut found) = file.find_frames(address) else { continue };
            let mut frames = Vec::new();
            while frames.len() < INLINED_MAX
                && let Ok(Some(frame)) = found.next()
            {
                let name = frame.function.as_ref().and_then(|name| name.demangle().ok());
                let location = frame.location.as_ref();
                frames.push(Frame {
                    function: name.map(|name| name.into_owned()).unwrap_or_default(),
                    file: location.and_then(|location| location.file).map(str::to_owned),
                    line: location.and_then(|location| location.line).filter(|line| *line > 0),
                    module: module.to_owned(),
                    is_inlined: true,
                    is_kernel: false,
                });
            }
            if let Some(outermost) = frames.last_mut() {
                outermost.is_inlined = false;
                frames.reverse();
                return frames;
            }
        }
        Vec::new()
    }
}

/// Returns true when `path` ends with `name` as its last part, generic arguments aside.
fn is_tail(name: &str, path: &str) -> bool {
    let bare = |text: &str| text.split('<').next().unwrap_or(text).to_owned();
    path.len() > name.len() && path.rsplit("::").next().is_some_and(|last| bare(last) == bare(name))
}

const INLINED_MAX: usize = 64;

/// Symbols of this process, for addresses that it saw itself.
pub(crate) struct OwnSymbols<'a> {
    processes: &'a Processes,
    symbols: Symbols<'a>,
    pid: u32,
}

impl<'a> OwnSymbols<'a> {
    /// Takes what [`own_processes`] found.
    pub(crate) fn new(processes: &'a Processes) -> Self {
        Self { processes, symbols: Symbols::new(&processes.images), pid: std::process::id() }
    }

    /// Returns the functions at an address, the innermost first.
    pub(crate) fn resolve(&mut self, address: u64) -> Vec<Frame> {
        let mut frames = self.symbols.resolve(self.processes.place(self.pid, address));
        frames.reverse();
        frames
    }
}

/// Returns what this process has mapped now.
pub(crate) fn own_processes() -> Processes {
    let mut processes = Processes::default();
    processes.adopt(std::process::id());
    processes
}
