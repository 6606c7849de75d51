"""The table of names that are refused in workflow code, each with its rule.

Names are whole, as the library has them: `datetime.datetime.now`, `builtins.open`. A method stands under its class. One
that ends in `.*` means everything below it, except what `ALLOWED` says. This is the one place that says what is
refused: whoever refuses it at run time reads it here.
"""

from __future__ import annotations

from weft.determinism._rules import (
    ASYNCIO,
    ENVIRONMENT,
    FILES,
    NETWORK,
    RANDOM_UUID,
    RANDOMNESS,
    SLEEPING,
    SUBPROCESS,
    THREADS,
    WALL_CLOCK,
    Rule,
)


def _under(module: str, names: str) -> list[str]:
    return [f"{module}.{name}" for name in names.split()]


_CALLS: dict[str, list[str]] = {
    WALL_CLOCK.code: [
        *_under("time", "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time"),
        *_under("time", "process_time_ns thread_time thread_time_ns clock_gettime clock_gettime_ns"),
        *_under("time", "localtime gmtime ctime asctime strftime"),
        *_under("datetime.datetime", "now utcnow today"),
        "datetime.date.today",
        "os.times",
        *_under("arrow", "now utcnow"),
        *_under("pendulum", "now today tomorrow yesterday"),
        *_under("pandas.Timestamp", "now utcnow today"),
        *_under("django.utils.timezone", "now localdate localtime"),
    ],
    RANDOMNESS.code: [
        *_under("random", "* Random SystemRandom SystemRandom.*"),
        "secrets.*",
        *_under("os", "urandom getrandom"),
        "numpy.random.*",
    ],
    RANDOM_UUID.code: [
        *_under("uuid", "uuid1 uuid4 uuid6 uuid7 uuid8 getnode"),
        *_under("shortuuid", "uuid random"),
        "nanoid.generate",
        "ulid.new",
        "bson.ObjectId",
    ],
    ENVIRONMENT.code: [
        *_under("os", "getenv getenvb putenv unsetenv getcwd getcwdb chdir getpid getppid uname getlogin"),
        *_under("os", "cpu_count process_cpu_count getloadavg getuid geteuid environ.* environb.*"),
        *_under("platform", "node platform system release version machine processor uname"),
        *_under("socket", "gethostname getfqdn"),
        *_under("getpass", "getuser getpass"),
        *_under("dotenv", "load_dotenv dotenv_values"),
        "decouple.config",
    ],
    NETWORK.code: [
        *_under("requests", "get post put patch delete head options request session Session Session.*"),
        *_under("requests", "sessions.Session sessions.Session.* api.*"),
        *_under("httpx", "get post put patch delete head options request stream Client Client.* AsyncClient"),
        "httpx.AsyncClient.*",
        *_under("aiohttp", "request ClientSession ClientSession.* TCPConnector UnixConnector"),
        *_under("urllib.request", "urlopen urlretrieve build_opener install_opener OpenerDirector.*"),
        *_under("urllib3", "request PoolManager PoolManager.* ProxyManager ProxyManager.*"),
        *_under("urllib3", "HTTPConnectionPool HTTPConnectionPool.* HTTPSConnectionPool HTTPSConnectionPool.*"),
        *_under("http.client", "HTTPConnection HTTPConnection.* HTTPSConnection HTTPSConnection.*"),
        *_under("socket", "socket socket.* create_connection create_server socketpair fromfd getaddrinfo"),
        *_under("socket", "gethostbyname gethostbyname_ex gethostbyaddr getnameinfo"),
        *_under("smtplib", "SMTP SMTP.* SMTP_SSL SMTP_SSL.* LMTP LMTP.*"),
        *_under("ftplib", "FTP FTP.* FTP_TLS FTP_TLS.*"),
        *_under("imaplib", "IMAP4 IMAP4.* IMAP4_SSL IMAP4_SSL.*"),
        *_under("poplib", "POP3 POP3.* POP3_SSL POP3_SSL.*"),
        *_under("xmlrpc.client", "ServerProxy ServerProxy.*"),
        *_under("select", "select poll epoll kqueue"),
        "selectors.*",
        "socketserver.*",
        "ssl.get_server_certificate",
        *_under("psycopg", "connect AsyncConnection.connect Connection.connect Connection.* AsyncConnection.*"),
        *_under("psycopg2", "connect"),
        *_under("asyncpg", "connect create_pool"),
        *_under("pymysql", "connect"),
        *_under("pymongo", "MongoClient MongoClient.* AsyncMongoClient AsyncMongoClient.*"),
        *_under("sqlalchemy", "create_engine orm.Session orm.Session.* ext.asyncio.create_async_engine"),
        *_under("sqlalchemy.ext.asyncio", "AsyncSession AsyncSession.*"),
        *_under("redis", "Redis Redis.* StrictRedis StrictRedis.* from_url asyncio.Redis asyncio.Redis.*"),
        *_under("redis.asyncio", "from_url"),
        *_under("boto3", "client resource Session Session.*"),
        *_under("botocore.session", "get_session"),
        *_under("grpc", "insecure_channel secure_channel aio.insecure_channel aio.secure_channel"),
        *_under("websockets", "connect serve"),
        *_under("paramiko", "SSHClient SSHClient.* Transport Transport.*"),
        *_under("confluent_kafka", "Producer Producer.* Consumer Consumer.* admin.AdminClient"),
        *_under("kafka", "KafkaProducer KafkaProducer.* KafkaConsumer KafkaConsumer.*"),
        *_under("aiokafka", "AIOKafkaProducer AIOKafkaConsumer"),
        *_under("openai", "OpenAI OpenAI.* AsyncOpenAI AsyncOpenAI.*"),
        *_under("anthropic", "Anthropic Anthropic.* AsyncAnthropic AsyncAnthropic.*"),
    ],
    FILES.code: [
        *_under("builtins", "open input breakpoint"),
        *_under("io", "open open_code FileIO"),
        *_under("codecs", "open"),
        *_under("os", "open fdopen read write close listdir scandir walk stat lstat access mkdir makedirs remove"),
        *_under("os", "unlink rmdir removedirs rename renames replace link symlink readlink chmod chown utime"),
        *_under("os", "truncate pipe sendfile fsync sync mkfifo umask statvfs"),
        *_under("os.path", "exists lexists isfile isdir islink ismount getsize getmtime getatime getctime realpath"),
        *_under("os.path", "abspath expanduser samefile"),
        *_under("pathlib.Path", "read_text read_bytes write_text write_bytes open exists is_file is_dir is_symlink"),
        *_under("pathlib.Path", "is_mount is_socket is_fifo iterdir glob rglob walk stat lstat touch mkdir rmdir"),
        *_under("pathlib.Path", "unlink rename replace symlink_to hardlink_to chmod lchmod owner group readlink"),
        *_under("pathlib.Path", "resolve absolute samefile cwd home expanduser copy copy_into move move_into"),
        "shutil.*",
        "tempfile.*",
        *_under("glob", "glob iglob"),
        *_under("fileinput", "input FileInput"),
        *_under("sqlite3", "connect"),
        *_under("dbm", "open"),
        *_under("shelve", "open"),
        *_under("zipfile", "ZipFile ZipFile.* is_zipfile"),
        *_under("tarfile", "open TarFile TarFile.open is_tarfile"),
        *_under("gzip", "open"),
        *_under("bz2", "open"),
        *_under("lzma", "open"),
        *_under("mmap", "mmap"),
        *_under("sys", "stdin.*"),
        *_under("aiofiles", "open tempfile.* os.*"),
    ],
    SLEEPING.code: [
        *_under("time", "sleep"),
        *_under("signal", "pause sigwait sigtimedwait sigwaitinfo"),
    ],
    THREADS.code: [
        "threading.*",
        "_thread.*",
        "multiprocessing.*",
        *_under("concurrent.futures", "ThreadPoolExecutor ThreadPoolExecutor.* ProcessPoolExecutor"),
        *_under("concurrent.futures", "ProcessPoolExecutor.* InterpreterPoolExecutor wait as_completed"),
        *_under("queue", "Queue LifoQueue PriorityQueue SimpleQueue Queue.* LifoQueue.* PriorityQueue.*"),
        *_under("queue", "SimpleQueue.*"),
        *_under("joblib", "Parallel"),
    ],
    SUBPROCESS.code: [
        *_under("subprocess", "run call check_call check_output getoutput getstatusoutput Popen Popen.*"),
        *_under("os", "system popen fork forkpty kill killpg abort startfile posix_spawn posix_spawnp wait"),
        *_under("os", "execl execle execlp execlpe execv execve execvp execvpe waitpid wait3 wait4"),
        *_under("os", "spawnl spawnle spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe _exit"),
        *_under("pty", "spawn fork"),
        *_under("signal", "signal raise_signal alarm setitimer"),
    ],
    ASYNCIO.code: [
        *_under("asyncio", "to_thread open_connection start_server open_unix_connection start_unix_server"),
        *_under("asyncio", "create_subprocess_exec create_subprocess_shell run Runner Runner.*"),
        *_under("asyncio", "run_coroutine_threadsafe new_event_loop AbstractEventLoop.*"),
        "asgiref.sync.sync_to_async",
        *_under("anyio", "run run_process open_process open_file connect_tcp connect_unix create_tcp_listener"),
        *_under("anyio", "to_thread.* to_process.* from_thread.*"),
        "trio.*",
    ],
}  # fmt: skip

VALUES = {"os.environ", "os.environb", "sys.argv", "sys.stdin"}
"""Refused as soon as they are named; everything else when it is called, or handed to something that may call it."""
_VALUE_RULES = dict.fromkeys(VALUES, ENVIRONMENT) | {"sys.stdin": FILES}

ALLOWED = {
    "random.Random.*",  # of a generator with a seed; one without is refused where it is made
    "numpy.random.Generator.*",
    "numpy.random.RandomState.*",
    "numpy.random.PCG64",
    "secrets.compare_digest",
    "threading.TIMEOUT_MAX",
    *_under("tempfile", "gettempprefix"),
    *_under(
        "asyncio.AbstractEventLoop",
        "time call_soon call_later call_at create_future create_task get_debug is_running is_closed "
        "default_exception_handler call_exception_handler shutdown_asyncgens",
    ),
    *_under("selectors", "SelectorKey"),
}
"""What is below a name with `.*` and is deterministic all the same."""

ARGUMENTS_NEEDED = {
    "time.localtime": 1,
    "time.gmtime": 1,
    "time.ctime": 1,
    "time.asctime": 1,
    "time.strftime": 2,
    "random.Random": 1,
    "numpy.random.default_rng": 1,
    "numpy.random.RandomState": 1,
    "numpy.random.SeedSequence": 1,
}
"""Given so many arguments (a time, a seed) they are deterministic; with fewer they take the clock or chance."""

RETURNED = {
    "asyncio.get_running_loop": "asyncio.AbstractEventLoop",
    "asyncio.get_event_loop": "asyncio.AbstractEventLoop",
    "asyncio.new_event_loop": "asyncio.AbstractEventLoop",
    "asyncio.AbstractEventLoop.create_future": "asyncio.Future",
    "asyncio.AbstractEventLoop.create_task": "asyncio.Task",
    "asyncio.AbstractEventLoop.call_later": "asyncio.TimerHandle",
    "asyncio.AbstractEventLoop.call_at": "asyncio.TimerHandle",
    "asyncio.AbstractEventLoop.call_soon": "asyncio.Handle",
    "requests.session": "requests.Session",
    "pathlib.Path.joinpath": "pathlib.Path",
    "pathlib.Path.with_suffix": "pathlib.Path",
    "pathlib.Path.with_name": "pathlib.Path",
    "pathlib.Path.parent": "pathlib.Path",
    "numpy.random.default_rng": "numpy.random.Generator",
}
"""What class calling (or reading) the name gives, where it is not the class of that name."""

_RULES: dict[str, Rule] = {
    name: rule
    for rule in (
        WALL_CLOCK, RANDOMNESS, RANDOM_UUID, ENVIRONMENT, NETWORK, FILES, SLEEPING, THREADS, SUBPROCESS, ASYNCIO,
    )
    for name in _CALLS[rule.code]
}  # fmt: skip


def refused_names() -> dict[str, Rule]:
    """Every name of the table with its rule, those that end in `.*` too."""
    return {**_RULES, **_VALUE_RULES}


def rule_of(name: str) -> Rule | None:
    """The rule against calling `name`; None when workflow code may do so."""
    if name in ALLOWED or name.rpartition(".")[2].endswith(("Error", "Exception", "Warning")):
        return None
    if name in _RULES:
        return _RULES[name]
    above = name
    while "." in above:
        above = above.rpartition(".")[0]
        if f"{above}.*" in ALLOWED:
            return None
        if f"{above}.*" in _RULES:
            return _RULES[f"{above}.*"]
    return None


def rule_of_value(name: str) -> Rule | None:
    """The rule against naming `name` at all."""
    return _VALUE_RULES.get(name)
