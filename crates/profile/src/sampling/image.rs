//! Files that are mapped to be executed: where their segments lie and how their frames unwind.
//!
//! Only the parts that unwinding needs are read into memory: `.eh_frame`, its index, and
//! `.debug_frame`. An address of a process becomes an address of the file (as its symbols state it)
//! by the mapping's bias, so position-independent, fixed and static-pie programs are one case.
//!
//! Limits: at most [`IMAGES_MAX`] files; a section above [`SECTION_BYTES_MAX`] is left out.

use std::collections::HashMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use framehop::{ExplicitModuleSectionInfo, Module};
use object::{Object, ObjectSection, ObjectSegment, ReadCache, ReadRef};

use crate::perf::record::Mapping;

/// Bytes of a section, shared by every process that maps its file.
pub(crate) type Section = Arc<[u8]>;

/// Index of a file in [`Images`].
pub(crate) type ImageId = u32;

/// Everything that was ever mapped while the recording ran.
#[derive(Debug, Default)]
pub(crate) struct Images {
    list: Vec<Image>,
    by_name: HashMap<(String, u64), ImageId>,
    vdso: Option<Vec<u8>>,
}

/// One file, or the kernel's page of code.
#[derive(Debug)]
pub(crate) struct Image {
    /// As the process calls it.
    pub(crate) name: String,
    /// Where it can be read now; `None` for what is no file or is there no longer.
    pub(crate) path: Option<PathBuf>,
    /// What a distribution keeps of its symbols apart, found by its build id.
    pub(crate) debug_path: Option<PathBuf>,
    segments: Vec<Segment>,
    sections: ExplicitModuleSectionInfo<Section>,
}

#[derive(Debug)]
struct Segment {
    address: u64,
    file: Range<u64>,
}

impl Images {
    /// Finds the file of a mapping, reading it when it is new. `None` for memory that is no file,
    /// and beyond the limit.
    pub(crate) fn of(&mut self, mapping: &Mapping) -> Option<ImageId> {
        let is_vdso = mapping.path == VDSO;
        if !is_vdso && !mapping.path.starts_with('/') {
            return None;
        }
        let key = (mapping.path.clone(), mapping.inode);
        if let Some(id) = self.by_name.get(&key) {
            return Some(*id);
        }
        if self.list.len() >= IMAGES_MAX {
            return None;
        }
        let image = if is_vdso {
            let bytes = self.vdso.get_or_insert_with(|| own_vdso().unwrap_or_default());
            Image::parse(mapping, None, &bytes[..])
        } else {
            let path = locate(mapping);
            let file = path.as_ref().and_then(|path| File::open(path).ok());
            match file {
                Some(file) => Image::parse(mapping, path, &ReadCache::new(file)),
                None => Image::unread(mapping, None),
            }
        };
        let id = ImageId::try_from(self.list.len()).expect("below the limit");
        self.list.push(image);
        self.by_name.insert(key, id);
        Some(id)
    }

    pub(crate) fn get(&self, id: ImageId) -> &Image {
        &self.list[id as usize]
    }
}

impl Image {
    fn parse<'data>(mapping: &Mapping, path: Option<PathBuf>, data: impl ReadRef<'data>) -> Self {
        let Ok(file) = object::File::parse(data) else { return Self::unread(mapping, path) };
        let segments = file.segments().map(|segment| {
            let (offset, bytes) = segment.file_range();
            Segment { address: segment.address(), file: offset..offset.saturating_add(bytes) }
        });
        let mut image = Self { segments: segments.collect(), ..Self::unread(mapping, path) };
        let range = |name: &str| {
            let section = file.section_by_name(name)?;
            Some(section.address()..section.address().saturating_add(section.size()))
        };
        let bytes = |name: &str| -> Option<Section> {
            let section = file.section_by_name(name)?;
            if section.size() > SECTION_BYTES_MAX {
                return None;
            }
            Some(section.uncompressed_data().ok()?.as_ref().into())
        };
        image.debug_path = file.build_id().ok().flatten().and_then(debug_path);
        image.sections = ExplicitModuleSectionInfo {
            base_svma: 0,
            text_svma: range(".text"),
            got_svma: range(".got"),
            eh_frame_svma: range(".eh_frame"),
            eh_frame: bytes(".eh_frame"),
            eh_frame_hdr_svma: range(".eh_frame_hdr"),
            eh_frame_hdr: bytes(".eh_frame_hdr"),
            debug_frame: bytes(".debug_frame"),
            ..Default::default()
        };
        image
    }

    fn unread(mapping: &Mapping, path: Option<PathBuf>) -> Self {
        let sections = ExplicitModuleSectionInfo::default();
        let name = mapping.path.clone();
        Self { name, path, debug_path: None, segments: Vec::new(), sections }
    }

    /// Returns what to subtract from an address of the process to get one of the file.
    pub(crate) fn bias(&self, mapping: &Mapping) -> u64 {
        // The offset of a mapping is a whole page; a segment may begin within that page.
        let holds = |segment: &&Segment| {
            let first_page = segment.file.start & !(PAGE - 1);
            (first_page..segment.file.end.max(first_page + 1)).contains(&mapping.offset)
        };
        let Some(segment) = self.segments.iter().rfind(holds) else {
            return mapping.start.wrapping_sub(mapping.offset);
        };
        let stated = segment.address.wrapping_add(mapping.offset.wrapping_sub(segment.file.start));
        mapping.start.wrapping_sub(stated)
    }

    /// Returns the rules by which frames of this mapping unwind.
    pub(crate) fn module(&self, mapping: &Mapping, bias: u64) -> Module<Section> {
        let range = mapping.start..mapping.start.saturating_add(mapping.bytes);
        Module::new(self.name.clone(), range, bias, self.sections.clone())
    }
}

/// Returns where Debian and others install the symbols of a program with this build id.
fn debug_path(build_id: &[u8]) -> Option<PathBuf> {
    let hex: String = build_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let (folder, file) = hex.split_at_checked(2)?;
    let path = PathBuf::from(format!("/usr/lib/debug/.build-id/{folder}/{file}.debug"));
    path.is_file().then_some(path)
}

/// Finds a file that is still the one that was mapped: under its own name, or, for a process in
/// another mount namespace, under that process' root.
fn locate(mapping: &Mapping) -> Option<PathBuf> {
    let plain = PathBuf::from(&mapping.path);
    let within = PathBuf::from(format!("/proc/{}/root{}", mapping.pid, mapping.path));
    [plain, within].into_iter().find(|path| is_same_file(path, mapping.inode))
}

fn is_same_file(path: &Path, inode: u64) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    metadata.is_file() && (inode == 0 || metadata.ino() == inode)
}

/// Reads the kernel's page of code from this process, where it is the same as in every other.
fn own_vdso() -> Option<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with(VDSO))?;
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let end = u64::from_str_radix(end, 16).ok()?;
    let mut bytes = vec![0; usize::try_from(end.checked_sub(start)?).ok()?];
    File::open("/proc/self/mem").ok()?.read_exact_at(&mut bytes, start).ok()?;
    Some(bytes)
}

pub(crate) const VDSO: &str = "[vdso]";
const IMAGES_MAX: usize = 4096;
const SECTION_BYTES_MAX: u64 = 256 << 20;
const PAGE: u64 = 4096;
