//! Lines on their way to a file, written by a thread of their own: a request pays for the formatting and for a place
//! in a queue, never for a disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Format, Record};

/// Lines that may wait.
const LINES: usize = 16_384;
/// Places in the queue that no line takes, so that a flood of lines cannot keep out a flush or another file.
const CONTROLS: usize = 16;
/// Bytes that may wait: a client can make its own lines long, and must not fill the memory with them.
const BYTES: usize = 16 << 20;
/// What one call to write takes at most, but for the line that goes beyond it.
const BATCH: usize = 256 << 10;
/// Room for most lines. Buffers are not used again: measured, the allocator is as fast.
const LINE: usize = 512;
/// How long the writer lets lines gather once it has found the queue empty. While it does, a request that adds one has
/// no thread to wake, which would cost it a system call.
const GATHER: Duration = Duration::from_millis(5);
/// The shortest time between two complaints about lines that were lost.
const COMPLAIN: Duration = Duration::from_secs(10);
/// How often, and after what pause, a target that says "not now" is asked again: a stdout that somebody made
/// non-blocking and reads slowly.
const PATIENCE: (u32, Duration) = (200, Duration::from_millis(5));
/// How long another file may wait for a place in the queue.
const REOPEN: Duration = Duration::from_secs(1);
/// How long dropping the log waits for what still waits.
const FAREWELL: Duration = Duration::from_secs(2);
/// The pause between two looks at what cannot be waited for with a limit: room in a queue, the end of a thread.
const LOOK: Duration = Duration::from_millis(1);

/// Where lines go.
pub enum Target {
    /// The standard output.
    Stdout,
    /// A file, appended to, made with mode 0640 where there is none.
    File(PathBuf),
    /// A test's own memory.
    #[cfg(test)]
    Writer(Box<dyn Write + Send>),
}

/// The access log: takes records, from any thread, without ever waiting for what it writes to.
///
/// Dropping it writes what still waits and then ends the writer, but takes no longer than two seconds. What a target
/// that is stuck has not taken by then is lost, and a warning tells how many lines; the writer is left behind and ends
/// once its target lets it, at the latest with the process. A call to write that is under way then is carried through,
/// so some of the lines that were given up may still arrive.
pub struct AccessLog {
    format: Format,
    /// Where there is one, what to open again.
    path: Option<PathBuf>,
    shared: Arc<Shared>,
    /// Before `writer`, since fields are dropped in this order: its end is what tells the writer to end.
    queue: SyncSender<Message>,
    writer: Handle,
}

enum Message {
    Line(Vec<u8>),
    /// Lines after this one go here.
    Output(Box<dyn Write + Send>),
    /// To be answered when everything before was written.
    Flush(SyncSender<()>),
}

#[derive(Default)]
struct Shared {
    waiting: Waiting,
    /// Whether nobody waits for the writer any more: it is to write nothing further.
    abandoned: AtomicBool,
    /// Lines that found the queue full.
    full: AtomicU64,
    /// Lines that could not be written.
    failed: AtomicU64,
}

/// Lines that are queued or being written, and their bytes: in one number, so that a request pays for one addition.
#[derive(Default)]
struct Waiting(AtomicU64);

impl Waiting {
    /// The bits below the number of lines. What they hold is bounded by [`BYTES`] and a line for each thread.
    const SHIFT: u32 = 40;

    const fn packed(lines: usize, bytes: usize) -> u64 {
        ((lines as u64) << Self::SHIFT) + bytes as u64
    }

    /// Adds a line of that many bytes. Whether it may wait; it is to be taken off again in any case.
    fn add(&self, bytes: usize) -> bool {
        let line = Self::packed(1, bytes);
        // The order of these additions among threads doesn't matter: at worst a line that is being refused makes
        // another one be refused too.
        let now = self.0.fetch_add(line, Ordering::Relaxed) + line;
        now >> Self::SHIFT <= LINES as u64 && now & ((1 << Self::SHIFT) - 1) <= BYTES as u64
    }

    /// To be called once they were written or lost: who then sees that none waits sees that too.
    fn remove(&self, lines: usize, bytes: usize) {
        self.0.fetch_sub(Self::packed(lines, bytes), Ordering::Release);
    }

    fn lines(&self) -> u64 {
        self.0.load(Ordering::Acquire) >> Self::SHIFT
    }
}

impl AccessLog {
    /// Opens the target and starts the thread that writes to it.
    ///
    /// # Errors
    /// The file cannot be opened, or there can be no further thread.
    pub fn start(target: Target, format: Format) -> io::Result<Self> {
        let (path, output): (_, Box<dyn Write + Send>) = match target {
            Target::Stdout => (None, Box::new(io::stdout())),
            Target::File(path) => {
                let file = open(&path)?;
                (Some(path), Box::new(file))
            }
            #[cfg(test)]
            Target::Writer(writer) => (None, writer),
        };
        let (queue, messages) = sync_channel(LINES + CONTROLS);
        let shared = Arc::new(Shared::default());
        let writer = Writer::new(messages, output, Arc::clone(&shared));
        let thread = thread::Builder::new().name("access-log".into()).spawn(move || writer.run())?;
        let writer = Handle { thread: Some(thread), shared: Arc::clone(&shared) };
        Ok(Self { format, path, shared, queue, writer })
    }

    /// Writes a record down: formats it here and leaves the rest to the writer. Where 16,384 lines or 16 MiB are
    /// waiting already, those included that the target is just being given, the line is dropped and counted.
    pub fn write(&self, record: &Record<'_>) {
        let mut line = Vec::with_capacity(LINE);
        self.format.write(record, &mut line);
        let bytes = line.len();
        if !self.shared.waiting.add(bytes) || self.queue.try_send(Message::Line(line)).is_err() {
            self.shared.full.fetch_add(1, Ordering::Relaxed);
            self.shared.waiting.remove(1, bytes);
        }
    }

    /// How many lines were lost since the start: dropped because the queue was full, or refused by the target.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.full.load(Ordering::Relaxed) + self.shared.failed.load(Ordering::Relaxed)
    }

    /// Opens the file again, for use after it was renamed: records written before this call go to the old file, those
    /// after it to the new. Nothing happens where the target is no file.
    ///
    /// This only queues the new file: a writer that is stuck comes to it, and to the lines that are meant for it, once
    /// its target lets it. Where too many such calls have queued theirs already, it waits for room, up to a second; so
    /// it is not for use on a thread that serves requests. The opening itself is not bounded: that of a named pipe
    /// waits for a reader.
    ///
    /// # Errors
    /// The file cannot be opened; the writer is stuck, and a second was not enough ([`io::ErrorKind::TimedOut`]); there
    /// is no writer any more, since the target made it panic. Except for the last, the old file stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        self.tell(Message::Output(Box::new(open(path)?)), REOPEN)
    }

    /// Waits until every record written before this call has gone to the target, or was lost, but no longer than
    /// `limit`. Whether that was long enough; with a `limit` of zero, whether nothing waits now.
    pub fn flush(&self, limit: Duration) -> bool {
        if self.shared.waiting.lines() == 0 {
            return true;
        }
        let start = Instant::now();
        let (done, written) = sync_channel(1);
        if let Err(error) = self.tell(Message::Flush(done), limit) {
            // Without a writer there is nothing to wait for: what is not written by now is lost.
            return error.kind() != io::ErrorKind::TimedOut;
        }
        // Here too: an end without an answer is that of the writer.
        written.recv_timeout(limit.saturating_sub(start.elapsed())) != Err(RecvTimeoutError::Timeout)
    }

    /// Unlike a line, this is worth waiting for, up to a limit; and what the writer gathers no longer is.
    ///
    /// # Errors
    /// `TimedOut`: no room in the queue within the limit. `BrokenPipe`: no writer.
    fn tell(&self, mut message: Message, limit: Duration) -> io::Result<()> {
        let start = Instant::now();
        loop {
            match self.queue.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) => message = back,
                Err(TrySendError::Disconnected(_)) => {
                    return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the writer of the access log is gone"));
                }
            }
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the writer of the access log is stuck"));
            }
            thread::sleep(left.min(LOOK));
        }
        self.writer.wake();
        Ok(())
    }
}

/// The thread that writes. To be dropped after the queue.
struct Handle {
    /// `None` only while it is dropped.
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl Handle {
    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.wake();
        let Some(thread) = self.thread.take() else { return };
        let start = Instant::now();
        while !thread.is_finished() && start.elapsed() < FAREWELL {
            thread::sleep(LOOK);
        }
        // Without this a writer that gets unstuck later would go on with all that is queued.
        self.shared.abandoned.store(true, Ordering::Relaxed);
        if thread.is_finished() && thread.join().is_err() {
            log::error!("the writer of the access log panicked");
        }
        let lost = self.shared.waiting.lines();
        if lost > 0 {
            log::warn!("access log: {lost} lines given up at the end, the target does not take them");
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// The other end of the queue.
struct Writer {
    messages: Receiver<Message>,
    output: Box<dyn Write + Send>,
    shared: Arc<Shared>,
    batch: Vec<u8>,
    /// How many are in the batch.
    lines: usize,
    /// Whether the last that was written is half a line.
    torn: bool,
    complaints: Complaints,
}

impl Writer {
    fn new(messages: Receiver<Message>, output: Box<dyn Write + Send>, shared: Arc<Shared>) -> Self {
        let complaints = Complaints::default();
        Self { messages, output, shared, batch: Vec::new(), lines: 0, torn: false, complaints }
    }

    fn run(mut self) {
        let mut ahead = true;
        while let Some(first) = self.next() {
            if ahead && matches!(first, Message::Line(_)) {
                thread::park_timeout(GATHER);
            }
            self.take(first);
            self.take_all();
            ahead = self.batch.len() < BATCH;
            self.write();
            if self.abandoned() {
                break;
            }
            self.complain(Instant::now());
        }
        let (full, failed) = self.complaints.rest(&self.shared);
        warn(full, failed, self.complaints.error.take());
    }

    /// The next message, waited for. `None`: nobody can send one any more.
    fn next(&mut self) -> Option<Message> {
        loop {
            if !self.complaints.pending(&self.shared) {
                return self.messages.recv().ok();
            }
            match self.messages.recv_timeout(COMPLAIN) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Timeout) => self.complain(Instant::now()),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Takes what is queued, until a batch is full.
    fn take_all(&mut self) {
        while self.batch.len() < BATCH
            && let Ok(message) = self.messages.try_recv()
        {
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Line(line) => {
                self.batch.extend_from_slice(&line);
                self.lines += 1;
            }
            Message::Output(output) => {
                self.write();
                self.output = output;
                self.torn = false;
            }
            Message::Flush(done) => {
                self.write();
                // Who asked may have stopped waiting.
                done.send(()).ok();
            }
        }
    }

    fn abandoned(&self) -> bool {
        self.shared.abandoned.load(Ordering::Relaxed)
    }

    /// Writes the batch, and empties it whether that worked or not; does nothing once the writer is left behind.
    fn write(&mut self) {
        // Lines that were given up count as waiting for ever, for whoever gave them up to tell.
        if self.batch.is_empty() || self.abandoned() {
            return;
        }
        let (lines, bytes) = (std::mem::take(&mut self.lines), self.batch.len());
        if self.torn {
            self.batch.insert(0, b'\n');
        }
        let (written, result) = write_all(&mut *self.output, &self.batch);
        if written > 0 {
            self.torn = self.batch[written - 1] != b'\n';
        }
        if let Err(error) = result.and_then(|()| self.output.flush()) {
            let lost = self.batch[written..].iter().filter(|byte| **byte == b'\n').count();
            self.shared.failed.fetch_add(lost as u64, Ordering::Relaxed);
            self.complaints.error = Some(error);
        }
        self.shared.waiting.remove(lines, bytes);
        self.batch.clear();
        // One long burst is no reason to hold its memory for ever.
        self.batch.shrink_to(BATCH + BATCH / 4);
    }

    fn complain(&mut self, now: Instant) {
        if let Some((full, failed)) = self.complaints.due(&self.shared, now) {
            warn(full, failed, self.complaints.error.take());
        }
    }
}

/// Writes as much as can be, and says how much that was.
fn write_all(output: &mut dyn Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    let (mut patience, pause) = PATIENCE;
    while written < bytes.len() {
        match output.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => {
                written += more;
                patience = PATIENCE.0;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && patience > 0 => {
                patience -= 1;
                thread::sleep(pause);
            }
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

fn warn(full: u64, failed: u64, error: Option<io::Error>) {
    if full > 0 {
        log::warn!("access log: {full} lines dropped, the target takes them too slowly");
    }
    if let Some(error) = error {
        log::warn!("access log: {failed} lines lost, writing failed: {error}");
    }
}

/// What was lost and not yet complained about.
#[derive(Default)]
struct Complaints {
    told_full: u64,
    told_failed: u64,
    last: Option<Instant>,
    error: Option<io::Error>,
}

impl Complaints {
    fn pending(&self, shared: &Shared) -> bool {
        self.error.is_some() || shared.full.load(Ordering::Relaxed) > self.told_full
    }

    /// Lines dropped and lines failed since it was said last, where there is something to say and it is time to.
    fn due(&mut self, shared: &Shared, now: Instant) -> Option<(u64, u64)> {
        let quiet = self.last.is_none_or(|last| now.saturating_duration_since(last) >= COMPLAIN);
        if !quiet || !self.pending(shared) {
            return None;
        }
        self.last = Some(now);
        Some(self.rest(shared))
    }

    fn rest(&mut self, shared: &Shared) -> (u64, u64) {
        let (full, failed) = (shared.full.load(Ordering::Relaxed), shared.failed.load(Ordering::Relaxed));
        let news = (full - self.told_full, failed - self.told_failed);
        (self.told_full, self.told_failed) = (full, failed);
        news
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};
    use std::time::UNIX_EPOCH;

    use super::*;

    /// Beyond what any test that works takes.
    const LONG: Duration = Duration::from_secs(60);
    /// How late a machine under load may be.
    const SLACK: Duration = Duration::from_secs(10);

    fn numbered(log: &AccessLog, numbers: std::ops::Range<u32>) {
        for tries in numbers {
            log.write(&Record { tries, ..Record::at(UNIX_EPOCH) });
        }
    }

    fn tries() -> Format {
        Format::template("{tries}").expect("a template")
    }

    fn fit() -> u32 {
        u32::try_from(LINES).expect("fits")
    }

    fn lines(numbers: std::ops::Range<u32>) -> String {
        numbers.map(|number| format!("{number}\n")).collect()
    }

    /// Memory that can be looked at, and how many times it was written to.
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Memory {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("not poisoned").0.clone()).expect("UTF-8")
        }

        fn calls(&self) -> usize {
            self.0.lock().expect("not poisoned").1
        }
    }

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut memory = self.0.lock().expect("not poisoned");
            memory.0.extend_from_slice(bytes);
            memory.1 += 1;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Says when it is being written to, and then blocks until it is let go on.
    struct Stuck {
        entered: Sender<()>,
        go_on: Receiver<()>,
        memory: Memory,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.entered.send(()).ok();
            self.go_on.recv().ok();
            self.memory.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A log whose writer is stuck with the line `0`; what lets it go on; what it writes; what tells when it is stuck
    /// again, or gone.
    fn stuck(format: Format) -> (AccessLog, Sender<()>, Memory, Receiver<()>) {
        let (entered, is_entered) = channel();
        let (go, go_on) = channel();
        let memory = Memory::default();
        let writer = Stuck { entered, go_on, memory: memory.clone() };
        let log = AccessLog::start(Target::Writer(Box::new(writer)), format).expect("a thread");
        numbered(&log, 0..1);
        is_entered.recv().expect("the writer writes");
        (log, go, memory, is_entered)
    }

    /// Results of calls to write, one after the other; then everything works.
    struct Script(std::vec::IntoIter<io::Result<usize>>, Memory);

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let much = self.0.next().unwrap_or(Ok(bytes.len()))?.min(bytes.len());
            self.1.write(&bytes[..much])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn scripted(results: Vec<io::Result<usize>>) -> (AccessLog, Memory) {
        let memory = Memory::default();
        let script = Script(results.into_iter(), memory.clone());
        (AccessLog::start(Target::Writer(Box::new(script)), tries()).expect("a thread"), memory)
    }

    #[test]
    fn lines_come_in_the_order_in_which_they_were_written() {
        let memory = Memory::default();
        let log = AccessLog::start(Target::Writer(Box::new(memory.clone())), tries()).expect("a thread");
        numbered(&log, 0..10_000);
        assert!(log.flush(LONG));
        assert_eq!(memory.text(), lines(0..10_000));
        assert_eq!(log.dropped(), 0);
    }

    #[test]
    fn dropping_the_log_writes_what_waits() {
        let memory = Memory::default();
        let log = AccessLog::start(Target::Writer(Box::new(memory.clone())), tries()).expect("a thread");
        numbered(&log, 0..1000);
        drop(log);
        assert_eq!(memory.text(), lines(0..1000));
    }

    #[test]
    fn all_that_is_queued_is_one_write() {
        let (log, go, memory, _) = stuck(tries());
        numbered(&log, 1..1001);
        drop(go);
        assert!(log.flush(LONG));
        assert_eq!(memory.text(), lines(0..1001));
        assert_eq!(memory.calls(), 2);
    }

    #[test]
    fn a_full_queue_drops_lines_and_counts_them() {
        let (log, go, memory, _) = stuck(tries());
        let fit = fit();
        numbered(&log, 1..fit);
        assert_eq!(log.dropped(), 0);
        numbered(&log, fit..fit + 7);
        assert_eq!(log.dropped(), 7);
        drop(go);
        assert!(log.flush(LONG));
        assert_eq!(memory.text(), lines(0..fit));
        numbered(&log, 5..6);
        assert!(log.flush(LONG));
        assert!(memory.text().ends_with("\n5\n"), "it goes on after that");
    }

    #[test]
    fn long_lines_cannot_fill_the_memory() {
        let (log, go, memory, _) = stuck(Format::template("{path}").expect("a template"));
        let path = vec![b'x'; 1 << 20];
        for _ in 0..20 {
            log.write(&Record { target: &path, ..Record::at(UNIX_EPOCH) });
        }
        assert_eq!(log.dropped(), 5, "15 of a MiB and a byte fit into 16 MiB");
        drop(go);
        assert!(log.flush(LONG));
        assert_eq!(memory.text().lines().count(), 16);
        assert_eq!(log.shared.waiting.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_stuck_writer_holds_up_no_flush() {
        let (log, go, memory, _) = stuck(tries());
        numbered(&log, 1..fit() + 7);
        // More than there are places for, so that the last find no room.
        for _ in 0..CONTROLS + 4 {
            let (limit, start) = (Duration::from_millis(20), Instant::now());
            assert!(!log.flush(limit));
            assert!((limit..limit + SLACK).contains(&start.elapsed()), "{:?}", start.elapsed());
        }
        assert!(!log.flush(Duration::ZERO));
        drop(go);
        assert!(log.flush(Duration::MAX));
        assert_eq!(memory.text(), lines(0..fit()));
        assert!(log.flush(Duration::ZERO), "nothing waits");
    }

    #[test]
    fn a_stuck_writer_holds_up_no_reopening() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        let (mut log, go, memory, _) = stuck(tries());
        log.path = Some(path.clone());
        numbered(&log, 1..fit() + 7);
        // The line that is being written counts as waiting, but has left its place in the queue.
        for _ in 0..CONTROLS + 1 {
            log.reopen().expect("lines leave room for it");
        }
        let start = Instant::now();
        assert_eq!(log.reopen().expect_err("no room").kind(), io::ErrorKind::TimedOut);
        assert!((REOPEN..REOPEN + SLACK).contains(&start.elapsed()), "{:?}", start.elapsed());
        drop(go);
        assert!(log.flush(LONG));
        numbered(&log, 7..8);
        assert!(log.flush(LONG));
        assert_eq!(memory.text(), lines(0..fit()));
        assert_eq!(std::fs::read_to_string(&path).expect("the new file"), lines(7..8));
    }

    #[test]
    fn a_stuck_writer_holds_up_no_drop_and_ends_when_it_can() {
        let (log, go, memory, entered) = stuck(tries());
        numbered(&log, 1..fit() + 7);
        let shared = Arc::clone(&log.shared);
        let start = Instant::now();
        drop(log);
        assert!((FAREWELL..FAREWELL + SLACK).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(shared.waiting.lines(), LINES as u64, "all that are given up are counted");
        assert_eq!(memory.text(), "");
        go.send(()).expect("it is still stuck");
        assert!(entered.recv_timeout(LONG).is_err_and(|e| e == RecvTimeoutError::Disconnected), "it ends");
        assert_eq!(memory.text(), lines(0..1), "only what it was about to write");
    }

    #[test]
    fn a_writer_that_is_gone_holds_up_nothing() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                panic!("for a test")
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut log = AccessLog::start(Target::Writer(Box::new(Broken)), tries()).expect("a thread");
        numbered(&log, 0..1);
        assert!(log.flush(LONG), "what is not written is lost");
        // As soon as its thread has ended there is no queue any more, and what is lost is counted.
        let start = Instant::now();
        while log.dropped() == 0 {
            numbered(&log, 1..2);
            assert!(log.flush(LONG));
            assert!(start.elapsed() < LONG, "nothing is counted");
        }
        log.path = Some("/dev/null".into());
        assert_eq!(log.reopen().expect_err("no writer").kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn many_threads_lose_and_mix_nothing() {
        let memory = Memory::default();
        let log = AccessLog::start(Target::Writer(Box::new(memory.clone())), tries()).expect("a thread");
        thread::scope(|scope| {
            for thread in 0..4 {
                let log = &log;
                scope.spawn(move || numbered(log, thread * 1000..thread * 1000 + 1000));
            }
        });
        assert!(log.flush(LONG));
        let mut seen: Vec<u32> = memory.text().lines().map(|line| line.parse().expect("a number")).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..4000).collect::<Vec<_>>());
    }

    #[test]
    fn a_renamed_file_keeps_the_lines_before_and_the_new_one_gets_those_after() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let log = AccessLog::start(Target::File(path.clone()), tries()).expect("a file");
        numbered(&log, 0..500);
        std::fs::rename(&path, &old).expect("renamed");
        numbered(&log, 500..600);
        log.reopen().expect("a new file");
        numbered(&log, 600..700);
        assert!(log.flush(LONG));
        assert_eq!(std::fs::read_to_string(&old).expect("the old file"), lines(0..600));
        assert_eq!(std::fs::read_to_string(&path).expect("the new file"), lines(600..700));
    }

    #[test]
    fn a_file_that_cannot_be_opened_again_leaves_the_old_one_in_use() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let log = AccessLog::start(Target::File(path.clone()), tries()).expect("a file");
        std::fs::rename(&path, &old).expect("renamed");
        std::fs::create_dir(&path).expect("a folder in its place");
        assert!(log.reopen().is_err());
        numbered(&log, 0..3);
        assert!(log.flush(LONG));
        assert_eq!(std::fs::read_to_string(&old).expect("the old file"), lines(0..3));
    }

    #[test]
    fn a_file_is_appended_to_and_not_for_everybody_to_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        for part in [0..2, 2..4] {
            let log = AccessLog::start(Target::File(path.clone()), tries()).expect("a file");
            numbered(&log, part);
        }
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), lines(0..4));
        // What the process's umask takes away is not given back.
        assert_eq!(std::fs::metadata(&path).expect("the file").permissions().mode() & 0o777 & !0o640, 0);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_at_start() {
        let missing = Target::File("/nonexistent/access.log".into());
        assert_eq!(AccessLog::start(missing, tries()).err().map(|e| e.kind()), Some(io::ErrorKind::NotFound));
    }

    #[test]
    fn a_write_that_fails_loses_its_lines_and_nothing_else() {
        let (log, memory) = scripted(vec![Err(io::ErrorKind::StorageFull.into())]);
        numbered(&log, 0..1);
        assert!(log.flush(LONG));
        assert_eq!(log.dropped(), 1);
        numbered(&log, 1..3);
        assert!(log.flush(LONG));
        assert_eq!(memory.text(), lines(1..3));
        assert_eq!(log.dropped(), 1);
    }

    #[test]
    fn half_a_line_is_ended_before_the_next() {
        let (log, memory) = scripted(vec![Ok(2), Err(io::ErrorKind::StorageFull.into())]);
        numbered(&log, 12_345..12_346);
        assert!(log.flush(LONG));
        numbered(&log, 6..7);
        assert!(log.flush(LONG));
        assert_eq!(memory.text(), "12\n6\n");
        assert_eq!(log.dropped(), 1);
    }

    #[test]
    fn short_and_interrupted_writes_go_on() {
        let again = || Err(io::ErrorKind::Interrupted.into());
        let later = || Err(io::ErrorKind::WouldBlock.into());
        let (log, memory) = scripted(vec![Ok(1), again(), Ok(2), later(), Ok(1)]);
        numbered(&log, 123_456..123_457);
        assert!(log.flush(LONG));
        assert_eq!(memory.text(), lines(123_456..123_457));
        assert_eq!(log.dropped(), 0);
    }

    #[test]
    fn losses_are_told_at_most_every_ten_seconds_and_none_is_forgotten() {
        let shared = Shared::default();
        let mut complaints = Complaints::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(complaints.due(&shared, start), None);
        shared.full.fetch_add(3, Ordering::Relaxed);
        assert_eq!(complaints.due(&shared, start), Some((3, 0)));
        shared.full.fetch_add(2, Ordering::Relaxed);
        assert_eq!(complaints.due(&shared, after(9)), None);
        assert!(complaints.pending(&shared));
        assert_eq!(complaints.due(&shared, after(10)), Some((2, 0)));
        assert!(!complaints.pending(&shared));
        shared.failed.fetch_add(4, Ordering::Relaxed);
        complaints.error = Some(io::ErrorKind::StorageFull.into());
        assert_eq!(complaints.due(&shared, after(11)), None);
        assert_eq!(complaints.rest(&shared), (0, 4));
    }
}
