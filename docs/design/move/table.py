"""Where each of today's modules goes: tomorrow's module, then today's, the first of which lends its history."""

MOVES = """
__main__ <- __main__
disk <- records/disk
errors <- errors
events <- events
machine <- machine
outcome <- outcome
policy <- policy
settings <- settings
testing <- testing/__init__
user_code <- flow/own
version <- version
redact <- redact
display <- display
wording <- report/words

flow/decorators <- flow/decorators
flow/fan_outs <- flow/siblings
flow/files <- flow/files
flow/map_reduce <- flow/short
flow/model <- flow/model
flow/naming <- flow/names + flow/typos
flow/order <- flow/order
flow/policies <- flow/policies
flow/recording <- flow/recording
flow/stages <- flow/stages
flow/task_mark <- flow/marks

flow/binding/argument_sources <- flow/sources
flow/binding/bind <- flow/binding
flow/binding/match_arguments <- flow/filling
flow/binding/signatures <- flow/signatures
flow/binding/wiring <- flow/wiring

flow/language/keywords <- flow/values
flow/language/lexer <- flow/lines
flow/language/parser <- flow/parser + flow/blocks
flow/language/syntax_errors <- flow/syntax
flow/language/writer <- flow/text

flow/diagram/draw <- flow/diagram
flow/diagram/layout <- flow/layout
flow/diagram/nodes <- flow/picture
flow/diagram/svg <- flow/draw_svg
flow/diagram/text <- flow/draw_text

sources/changed <- chunks/still + chunks/marks
sources/file <- chunks/source_file
sources/find <- chunks/sources + chunks/store_files
sources/same_files <- chunks/same_files
sources/fingerprint <- chunks/fingerprint + chunks/store_fingerprints
sources/hive <- chunks/hive
sources/read <- chunks/files
sources/read_ahead <- chunks/read_ahead
sources/store <- chunks/stores
sources/entity_tags <- chunks/tagged
sources/temporary <- chunks/own_directory
sources/written <- chunks/committed
sources/caches <- chunks/caches
sources/web_limits <- chunks/web_limits

sources/compression/codecs <- chunks/codecs + chunks/bad_stream
sources/compression/decompress <- chunks/decode
sources/compression/scratch_file <- chunks/unpacked
sources/compression/unpack <- chunks/unpack
sources/compression/scratch_writer <- chunks/scratch_writer
sources/compression/zip <- chunks/zip_member + chunks/archives
sources/compression/bz2_blocks <- chunks/bz2_blocks
sources/compression/unpack_parts <- chunks/unpack_parts
sources/compression/snappy_frames <- chunks/snappy_frames

formats/arrow_ipc <- chunks/read_ipc
formats/capabilities <- chunks/capabilities
formats/casts <- chunks/casts
formats/deliver <- chunks/frames
formats/detect <- chunks/detect
formats/filters <- chunks/filters
formats/frame_tables <- chunks/memory_tables + chunks/nested_integers
formats/hive_reader <- chunks/read_hive
formats/memory <- chunks/read_memory
formats/open_tables <- chunks/tables_open
formats/orc <- chunks/read_orc
formats/registry <- chunks/formats
formats/schema <- chunks/schema
formats/stream <- chunks/streams
formats/tables <- chunks/tables_reader + chunks/tables_layout

formats/file_layouts/ipc_layout <- chunks/ipc_layout
formats/file_layouts/ipc_messages <- chunks/ipc_messages
formats/file_layouts/ipc_splice <- chunks/ipc_splice
formats/file_layouts/orc_stripes <- chunks/orc_stripes
formats/file_layouts/orc_tail <- chunks/orc_tail

formats/parquet/footer <- chunks/footers
formats/parquet/footer_bytes <- chunks/parquet_footer
formats/parquet/open <- chunks/open_parquet
formats/parquet/options <- chunks/parquet_options
formats/parquet/reader <- chunks/read_parquet

formats/csv/bad_lines <- chunks/csv_bad_lines + chunks/csv_quarantine
formats/csv/columns <- chunks/csv_columns + chunks/csv_tables + chunks/csv_kinds
formats/csv/column_types/date_sample <- chunks/csv_date_sample
formats/csv/column_types/dates <- chunks/csv_dates
formats/csv/encodings <- chunks/csv_encodings
formats/csv/exact <- chunks/csv_exact
formats/csv/fast <- chunks/csv_fast + chunks/csv_quotes
formats/csv/head <- chunks/csv_head
formats/csv/beginnings <- chunks/csv_beginnings
formats/csv/head_labels <- chunks/csv_head_labels
formats/csv/label_options <- chunks/csv_labels
formats/csv/hints <- chunks/hints
formats/csv/messages <- chunks/csv_trouble
formats/csv/options <- chunks/csv_options
formats/csv/reader <- chunks/read_csv
formats/csv/records/piece_text <- chunks/csv_piece
formats/csv/column_types/categories <- chunks/csv_categories
formats/csv/column_types/nullable <- chunks/csv_nullable
formats/csv/column_types/types <- chunks/csv_types
formats/csv/column_types/unfit_values <- chunks/csv_checks
formats/csv/sample <- chunks/csv_sample

formats/csv/records/bit_marks <- chunks/csv_bits
formats/csv/records/blocks <- chunks/csv_blocks
formats/csv/records/cuts <- chunks/csv_cuts + chunks/csv_lines
formats/csv/records/dialect <- chunks/csv_dialect
formats/csv/records/encoded <- chunks/csv_text
formats/csv/records/rows <- chunks/csv_rows
formats/csv/records/scan <- chunks/csv_scan
formats/csv/records/state_machine <- chunks/csv_walk

formats/json/array <- chunks/json_array
formats/json/cuts <- chunks/json_cuts
formats/json/deliver <- chunks/json_frames
formats/json/exact <- chunks/json_exact + chunks/json_lines
formats/json/fast <- chunks/json_fast
formats/json/open_array <- chunks/read_json
formats/json/open_lines <- chunks/read_jsonl
formats/json/reader <- chunks/json_reader
formats/json/sample <- chunks/json_sample
formats/json/types <- chunks/json_types

chunks/chunk <- chunks/chunk
chunks/cost_line <- chunks/cost_line
chunks/cut <- chunks/cut
chunks/cut_again <- chunks/repeated_cuts
chunks/dataset <- chunks/opened
chunks/open_dataset <- chunks/dataset
chunks/plan <- chunks/plan
chunks/plan_limits <- chunks/limits + chunks/picking
chunks/sizing <- chunks/sizing
chunks/open_files <- chunks/opening
chunks/unreadable <- chunks/unreadable

reducers/aggregates <- aggregation/hows
reducers/spilling/holding <- aggregation/holding
reducers/base <- aggregation/reducers
reducers/column_values <- aggregation/values
reducers/columns <- aggregation/columns
reducers/grouped <- aggregation/groups
reducers/group_states <- aggregation/group_states
reducers/grouping <- aggregation/grouping
reducers/hyperloglog <- aggregation/distinct
reducers/inputs <- aggregation/frames
reducers/min_max_first_last <- aggregation/picked
reducers/quantiles <- aggregation/quantiles
reducers/sums <- aggregation/sums
reducers/totals <- aggregation/totals
reducers/description <- aggregation/description
reducers/row_labels <- aggregation/row_labels
reducers/tree <- aggregation/tree

reducers/spilling/group_holder <- aggregation/group_holder
reducers/spilling/key_hash <- aggregation/key_hash
reducers/spilling/plain_columns <- aggregation/plain_columns
reducers/spilling/scratch <- aggregation/scratch
reducers/spilling/spilled <- aggregation/spilled

checks/compare <- checks/compare
checks/cuts <- checks/cuts
checks/laws <- checks/laws
checks/pieces <- checks/pieces

output/common_schema <- records/schemas
output/complete <- records/mending + records/kept_parts
output/existing <- records/standing
output/inputs <- records/inputs
output/target <- records/target
output/manifest <- records/manifest
output/partitions <- records/partitions
output/parts <- records/parts + records/agreement
output/sink <- records/sink
output/staging <- records/staging
output/to_arrow <- records/tables + records/unchanged
output/write_formats <- records/formats + records/write_text

output/local/commit <- records/commit
output/local/place <- records/places
output/local/target <- records/local_target

output/store/lock <- records/store_lock
output/store/remote <- records/remote
output/store/target <- records/store_target

report/bottleneck <- report/html_bound
report/log_file <- report/run_log
report/next_steps <- report/next_steps
report/notify <- report/announcer
report/progress <- report/progress
report/run_columns <- report/live
report/run_state <- report/tally
report/speed <- report/speed
report/summary <- report/summary

report/html/attempts <- report/html_tries
report/html/charts <- report/html_charts
report/html/sections <- report/html_parts
report/html/write <- report/html

report/dashboard/fill <- report/dashboard_fill
report/dashboard/observer <- report/dashboard
report/dashboard/page <- report/dashboard_page
report/dashboard/scheduler_plugin <- report/dashboard_plugin

checkpoints/checkpoints <- records/checkpoints
checkpoints/code_identity <- records/identity
checkpoints/code_imports <- records/imports
checkpoints/code_lookups <- records/lookups
checkpoints/fan_out_record <- records/fan_out_record
checkpoints/journal <- records/journal
checkpoints/plain_outcomes <- records/plain_outcomes
checkpoints/quarantine <- records/quarantine
checkpoints/quarantine_rows <- records/aside_rows
checkpoints/quarantine_process <- records/apart
checkpoints/read_journal <- records/past
checkpoints/run_directory <- records/run_places
checkpoints/values <- records/exact
checkpoints/value_kinds/arrow <- records/exact_arrow
checkpoints/value_kinds/numpy <- records/exact_numpy
checkpoints/value_kinds/tables <- records/exact_tables
checkpoints/versions <- records/versions
checkpoints/file_lock <- records/locks

execution/attempts <- execution/judge + execution/retries + execution/repeats
execution/checkpoint_protocol <- execution/recalls
execution/choose_scheduler <- execution/choose
execution/driver <- execution/driver
execution/fan_out <- execution/fan_out
execution/jobs <- execution/jobs + execution/works + execution/work
execution/ledger <- execution/ledger
execution/pace <- execution/pace
execution/notices <- execution/notices + execution/bad_lines
execution/open_fan_out <- execution/pieces
execution/retry_rules <- execution/decide
execution/run_account <- execution/account
execution/split_chunks <- execution/recovery + execution/caps
execution/static_graph <- execution/graph
execution/stop_rules <- execution/limits
execution/window <- execution/window

execution/schedulers/base <- execution/strategies
execution/schedulers/connect <- execution/clusters
execution/schedulers/dask <- execution/dask_strategy
execution/schedulers/local_cluster <- execution/own_cluster
execution/schedulers/pool_start <- execution/pool_start
execution/schedulers/restarts <- execution/restarts
execution/schedulers/worker_checks <- execution/worker_checks
execution/schedulers/resources <- execution/resources
execution/schedulers/signals <- execution/interrupts

execution/worker/batches <- execution/batches
execution/worker/child_main <- execution/child_main
execution/worker/child_process <- execution/children
execution/worker/contracts <- execution/contracts
execution/worker/deadline <- execution/deadline
execution/worker/failures <- execution/failures + execution/unpickle
execution/worker/log_capture <- execution/hearing
execution/worker/result_limit <- execution/travel
execution/worker/run_item <- execution/process
execution/worker/shipping <- execution/shipping
execution/worker/side_effects <- execution/surroundings
execution/worker/terminal_relay <- execution/relay

forecast/compare_with_run <- forecast/actual
forecast/driver_cost <- forecast/here
forecast/estimate <- forecast/estimate
forecast/forecast <- forecast/forecast
forecast/output <- forecast/output
forecast/side_by_side <- forecast/beside
forecast/simulate <- forecast/play
forecast/slices <- forecast/slices
forecast/trial <- forecast/trial
forecast/trial_sizes <- forecast/trial_sizes

run/api <- run + from_dsl
run/check <- execution/check_laws
run/describe_run <- run_head
run/diff <- run_diff
run/history <- history
run/journal <- run_journal
run/options <- run_options
run/output_options <- output_options
run/outcome_frames <- outcome_frames
run/output <- run_output
run/past_run <- past_run
run/rebuild <- run_facts
run/replay <- execution/replay
run/result <- result
run/session <- one_run

cli/group <- cli/group
cli/exit_codes <- cli/exit_codes
cli/loading <- cli/loading
cli/logging_setup <- cli/logs
cli/options <- cli/options
cli/output <- cli/output
cli/wording <- cli/words + cli/narrow

cli/commands/bench <- cli/bench
cli/commands/bench_measure <- cli/bench_measure
cli/commands/demo <- cli/demo
cli/commands/demo_flow <- cli/demo_flow
cli/commands/doctor <- cli/doctor
cli/commands/plan <- cli/plan
cli/commands/preview <- cli/preview
cli/commands/redrive <- cli/redrive
cli/commands/report <- cli/report
cli/commands/run <- cli/run
cli/commands/runs <- cli/runs
cli/commands/validate <- cli/validate
cli/commands/visualize <- cli/visualize
"""

# Modules that carved definitions alone make up.
NEW_DOCS = {
    "formats/reader": "What every format's reader offers, and the rows that one returns.",
    "sources/in_memory": "Whether a source holds rows rather than naming files.",
}

# Definitions that move without their module: today's module, the names, tomorrow's module.
CARVES = [
    ("chunks/chunk", "KINDS ReadResult Reader refuse_quarantine", "formats/reader"),
    ("chunks/csv_misfit", "Misfit", "formats/reader"),
    ("chunks/limits", "LONGEST_SAMPLE_NBYTES", "formats/reader"),
    ("chunks/marks", "mark_chunk mark_all", "chunks/chunk"),
    ("chunks/describe", "to_text to_html format_nbytes", "wording"),
    ("chunks/describe", "tell_unpacked describe_files", "chunks/plan"),
    ("errors", "suggest inert inert_line", "wording"),
    ("chunks/memory_tables", "is_in_memory", "sources/in_memory"),
    ("chunks/streams", "is_dask", "sources/in_memory"),
    ("chunks/hive", "rule_out", "formats/hive_reader"),
    ("chunks/read_parquet", "divide_rows", "formats/tables"),
    ("chunks/open_parquet", "check_columns", "formats/tables"),
    ("aggregation/reducers", "kind_of", "reducers/row_labels"),
    ("chunks/csv_rows", "parse_nrows parse_skiprows", "formats/csv/label_options"),
    ("chunks/csv_rows", "has_rows", "formats/csv/head"),
    ("report/dashboard", "HANDLER PAGE", "report/run_columns"),
]

# The first sentence of a module that several become.
DOCS = {
    "sources/changed": "Whether files are still those that were planned: size, time, tag, checksums at cuts.",
    "sources/find": "Which files a source means, in order: paths, directories, globs, URLs, lists of them.",
    "sources/fingerprint": "Fingerprints by which a file, or an object of a store, is known to be the one planned.",
    "sources/compression/codecs": "Which codec a file is compressed with, from its suffix, its first bytes and the user's word.",
    "sources/compression/zip": "Members of zip archives: which ones a URL means, and each as a stream.",
    "formats/frame_tables": "Frames as Arrow tables that give back the same frames, or an error that names the column.",
    "formats/tables": "Tables that files hold in groups of rows (record batches, stripes), read by ranges of rows.",
    "formats/csv/bad_lines": "CSV records with too many fields: left out as pandas leaves them out, counted, or quarantined.",
    "formats/csv/columns": "Which columns a CSV dataset has and which are selected; frames and tables of a fixed schema.",
    "formats/csv/label_options": "Reader options that name columns or choose rows, checked as `pandas.read_csv` has them.",
    "formats/csv/fast": "Parse a piece of CSV with Arrow, where the rows are certain to be those of pandas.",
    "formats/csv/records/cuts": "Where a range of CSV may be cut (after records, as pandas sees them), and where data begin.",
    "formats/json/exact": "Parse JSON Lines with Python's json module: slow, exact, with the place of each error.",
    "chunks/plan_limits": "What a plan is made for: workers, memory, records that fit, and a range that a report names.",
    "output/complete": "What a run has written before: parts already committed, and parts kept until it is resumed.",
    "output/parts": "Write chunks' tables as part files in the staging directory, and check that parts agree.",
    "output/to_arrow": "Turn what a chunk function returned into an Arrow table that holds the same values.",
    "output/write_formats": "Write tables as Parquet, CSV, JSON Lines or Arrow IPC.",
    "execution/attempts": "Decide what follows an attempt: another one, after what delay, or the final outcome.",
    "execution/jobs": "Turn the stages of a flow into what a driver does: jobs, and what each waits for.",
    "execution/notices": "Notices that are no failure, each logged once, and the bad lines that a run keeps.",
    "execution/split_chunks": "How an item is protected from taking too long or too much, and what it can be split into.",
    "execution/worker/failures": "Exceptions as values that travel, and unpickling what workers sent back.",
    "run/api": "What a user calls to run a flow, a flow's text, or a function over a source.",
    "cli/wording": "Messages with the options as typed on the command line, legible in a narrow terminal.",
    "flow/naming": "How names of tasks and of functions correspond, and which look like typing errors.",
    "flow/language/parser": "Parse a flow text into an unbound `Flow`, or raise an error that lists every mistake.",
    "wording": "How numbers, names and facts are written for a person: bytes, seconds, counts, close names.",
}

# Folders and the one line of each.
PACKAGES = {
    "flow": None,
    "flow/binding": "Which function a task runs, and where each of its arguments comes from.",
    "flow/language": "The flow language: lexer, parser, keywords, errors, writer.",
    "flow/diagram": "Drawings of flows: SVG, Mermaid, text.",
    "sources": "Files, here or in a store: finding, reading and recognising them.",
    "sources/compression": "Compressed files and archives, decompressed once into scratch files.",
    "formats": "Readers of file formats, and of frames in memory.",
    "formats/file_layouts": "Where the parts of Arrow IPC and ORC files lie.",
    "formats/parquet": "Parquet files.",
    "formats/csv": "CSV files, read as pandas reads them.",
    "formats/csv/records": "Where CSV records end.",
    "formats/csv/column_types": "What types the columns of CSV files have: dates, categories, nullable ones.",
    "formats/json": "JSON Lines and JSON arrays.",
    "chunks": "Datasets, plans, chunks, and how large the next chunk is.",
    "reducers": None,
    "reducers/spilling": "Partials of group-bys that outgrow memory, kept on disk.",
    "checks": None,
    "output": "What a run writes, staged beside its target and committed at once.",
    "output/local": "Output directories on this machine.",
    "output/store": "Output in object stores.",
    "report": None,
    "report/html": "The report of a run as an HTML page.",
    "report/dashboard": "The run's page on Dask's dashboard.",
    "checkpoints": "What is kept of a run so that it can be resumed and inspected.",
    "checkpoints/value_kinds": "How frames, tables and arrays are written exactly.",
    "execution": None,
    "execution/schedulers": "Where tasks run: threads, processes, Dask clusters, executors.",
    "execution/worker": "What happens on a worker: run an item, capture logs, send the result.",
    "forecast": None,
    "run": "A run from start to end, and what it leaves behind.",
    "cli": None,
    "cli/commands": "One file for each command.",
}

# Folders of today as they appear in strings ("taskinity_data.aggregation"); None: one must look.
FOLDERS = {
    "": "", "aggregation": "reducers", "checks": "checks", "chunks": None, "cli": "cli",
    "data": "data", "execution": "execution", "flow": "flow", "forecast": "forecast",
    "records": None, "report": "report", "testing": "testing",
}

# Private names that clash in a joined module.
RENAMES = {
    ("chunks/store_files", "_match"): "_match_names",
    ("chunks/csv_lines", "WINDOW_NBYTES"): "HEAD_WINDOW_NBYTES",
}

# Names that two modules that become one import from different places.
IMPORT_ALIASES = {
    ("execution/work", "FanOut"): "RunningFanOut",
    ("execution/unpickle", "cloudpickle"): "pickling",
}

# Modules of which nothing is left once their definitions have moved.
ENDED = {"chunks/describe", "chunks/csv_misfit"}

# Carved definitions that stand before the rest of their new module.
CARVED_FIRST = {"report/dashboard"}

# Changes of a module before it moves, in today's terms.
PATCHES = {
    "chunks/marks": [
        (
            '''def _mark(chunk: Chunk) -> int | None:
    if getattr(chunk.reader, "keeper", None) is not None:
        return None
    first, last = chunk.pieces[0], chunk.pieces[-1]
    return mark_cut(first.file, first.start, last.file, last.stop, chunk.reader.unit)
''',
            '''def mark_pieces(pieces: Sequence[Piece], unit: str) -> int | None:
    """The checksum of the blocks where consecutive `pieces` begin and end; see `mark_cut`."""
    first, last = pieces[0], pieces[-1]
    return mark_cut(first.file, first.start, last.file, last.stop, unit)
''',
        ),
        (
            "    return replace(chunk, mark=_mark(chunk))\n",
            '''    if getattr(chunk.reader, "keeper", None) is not None:
        return replace(chunk, mark=None)
    return replace(chunk, mark=mark_pieces(chunk.pieces, chunk.reader.unit))
''',
        ),
        (
            '''def check_mark(chunk: Chunk) -> None:
    """Raise `SourceChanged` where the blocks are not those of when `chunk` was cut."""
    if chunk.mark is None or (now := _mark(chunk)) is None or now == chunk.mark:
        return
''',
            '''def check_mark(pieces: Sequence[Piece], mark: int | None, unit: str, shown: object) -> None:
    """Raise `SourceChanged` where the blocks at the ends of `pieces` no longer have `mark`.

    `shown` is what a message calls the pieces.
    """
    if mark is None or (now := mark_pieces(pieces, unit)) is None or now == mark:
        return
''',
        ),
        ('        f"{chunk}: the file was changed', '        f"{shown}: the file was changed'),
        ('f"{chunk.mark:08x} then', 'f"{mark:08x} then'),
        (
            "        path=chunk.path,\n        start=chunk.start,\n",
            "        path=pieces[0].path,\n        start=pieces[0].start,\n",
        ),
        (
            "    from collections.abc import Iterator\n",
            "    from collections.abc import Iterator, Sequence\n",
        ),
        ("source_file import SourceFile\n", "source_file import Piece, SourceFile\n"),
        ('"mark_chunk", "mark_cut"]', '"mark_chunk", "mark_cut", "mark_pieces"]'),
    ],
    "chunks/chunk": [
        ("check_mark(self)", "check_mark(self.pieces, self.mark, self.reader.unit, self)"),
    ],
    "report/dashboard_page": [
        ("    from taskinity_data.report.dashboard_plugin import DashboardPlugin\n", ""),
        (
            "def page(plugin: DashboardPlugin, scheduler: Any, extra: dict[str, Any], doc: Document) -> None:\n"
            '    """Make a visitor\'s document, and keep it up to date."""\n',
            "def page(\n    runs: OrderedDict[str, LiveRun], scheduler: Any, extra: dict[str, Any], doc: Document\n"
            ') -> None:\n    """Make a visitor\'s document of `runs`, and keep it up to date."""\n',
        ),
        ("_View(plugin, scheduler)", "_View(runs, scheduler)"),
        (
            "def __init__(self, plugin: DashboardPlugin, scheduler: Any)",
            "def __init__(self, runs: OrderedDict[str, LiveRun], scheduler: Any)",
        ),
        ("self._plugin = plugin", "self._runs = runs"),
        ("self._plugin.runs", "self._runs"),
        ("if TYPE_CHECKING:\n", "if TYPE_CHECKING:\n    from collections import OrderedDict\n\n"),
    ],
    "records/versions": [
        (
            '_LIBRARIES = ("pandas", "pyarrow", "numpy")\n',
            '_LIBRARIES = ("pandas", "pyarrow", "numpy")\n\n'
            'RUN_FORMAT = "2"\n'
            '"""Of run directories. Identities of code name modules; in format 1 these had other names."""\n',
        ),
        (
            '    found = {"python": platform.python_version(), "taskinity_data": __version__}\n',
            '    found = {"python": platform.python_version(), "taskinity_data": __version__}\n'
            '    found["run format"] = RUN_FORMAT\n',
        ),
        (
            "    differs = [name for name in then",
            '    then = {"run format": "1", **then}\n    differs = [name for name in then',
        ),
        ('    if name == "taskinity_data":\n', '    if name in ("taskinity_data", "run format"):\n'),
        (
            "another version of this library, or another\n    major version of the others.",
            "another version of this library, another\n    format of run directories, or another major version of the others.",
        ),
    ],
    "report/dashboard_plugin": [("functools.partial(page, self)", "functools.partial(page, self.runs)")],
    "chunks/formats": [
        ('_Opener("read_csv", ', '_Opener("csv.reader", '),
        ('_Opener("read_jsonl", ', '_Opener("json.open_lines", '),
        ('_Opener("read_json", ', '_Opener("json.open_array", '),
        ('_Opener("open_parquet", ', '_Opener("parquet.open", '),
        ('_Opener("read_ipc", ', '_Opener("arrow_ipc", '),
        ('_Opener("read_orc", ', '_Opener("orc", '),
        ('import_module(f"taskinity_data.chunks.{', 'import_module(f"taskinity_data.formats.{'),
    ],
}

# Changes of a module after it has moved.
PATCHES_NEW = {
    "report/html/write": [
        (
            'files("taskinity_data.report").joinpath("html_page.jinja")',
            'files("taskinity_data.report.html").joinpath("page.jinja")',
        ),
    ],
}

DATA_MOVES = {}
# Tomorrow's test or helper, then today's. What is not named stays where it is, unless its folder ends.
TESTS = """
conftest.py <- conftest.py + chunks/conftest.py + records/conftest.py + execution/conftest.py + report/conftest.py + flow/conftest.py

support/az_by_hand.py <- chunks/az_by_hand.py
support/csv_oracle.py <- chunks/csv_oracle.py
support/damage.py <- chunks/damage.py
support/made_tables.py <- chunks/made_tables.py
support/packers.py <- chunks/packers.py
support/reader_contract.py <- chunks/reader_contract.py
support/simulate_sizing.py <- chunks/simulate_sizing.py
support/store_contract.py <- chunks/store_contract.py
support/tables_oracle.py <- chunks/tables_oracle.py
support/real_cluster.py <- execution/real_cluster.py
support/strategy_contract.py <- execution/strategy_contract.py
support/killing.py <- records/killing.py
support/store_frames.py <- records/store_frames.py
support/browser.py <- report/browser.py

reducers/conftest.py <- aggregation/conftest.py
reducers/test_columns.py <- aggregation/test_columns.py
reducers/test_hyperloglog.py <- aggregation/test_distinct.py
reducers/test_exact_integers.py <- aggregation/test_exact_integers.py
reducers/test_grouped.py <- aggregation/test_groups.py
reducers/test_quantiles.py <- aggregation/test_quantiles.py
reducers/test_base.py <- aggregation/test_reducers.py
reducers/spilling/test_spilling.py <- aggregation/test_spilling.py
reducers/test_sums.py <- aggregation/test_sums.py
reducers/test_totals.py <- aggregation/test_totals.py
reducers/test_tree.py <- aggregation/test_tree.py

sources/test_changed.py <- chunks/test_marks.py
sources/test_changed_files.py <- chunks/test_changed_files.py
sources/test_temporary.py <- chunks/test_own_directory.py
sources/test_same_files.py <- chunks/test_same_files.py
sources/test_find.py <- chunks/test_sources.py
sources/test_store.py <- chunks/test_stores.py
sources/test_store_gs.py <- chunks/test_stores_gs.py
sources/test_odd_sources.py <- chunks/test_odd_sources.py
sources/test_hostile_names.py <- chunks/test_hostile_names.py
sources/compression/test_decompress.py <- chunks/test_compressed.py
sources/compression/test_damaged.py <- chunks/test_compressed_bad.py

formats/refusals.json <- chunks/refusals.json
formats/table_refusals.json <- chunks/table_refusals.json
formats/test_bad_tables.py <- chunks/test_bad_tables.py
formats/test_capabilities.py <- chunks/test_capabilities.py
formats/test_casts.py <- chunks/test_casts.py
formats/test_corpus.py <- chunks/test_corpus.py
formats/test_corpus_json.py <- chunks/test_corpus_json.py
formats/test_corpus_tables.py <- chunks/test_corpus_tables.py
formats/test_filters.py <- chunks/test_filters.py
formats/test_arrow_ipc.py <- chunks/test_read_ipc.py
formats/test_memory.py <- chunks/test_read_memory.py
formats/test_orc.py <- chunks/test_read_orc.py
formats/test_schema.py <- chunks/test_schema.py
formats/parquet/test_options.py <- chunks/test_parquet_options.py
formats/parquet/test_reader.py <- chunks/test_read_parquet.py

formats/csv/test_bad_lines.py <- chunks/test_csv_bad_lines.py
formats/csv/test_choices.py <- chunks/test_csv_choices.py
formats/csv/test_category.py <- chunks/test_csv_category.py
formats/csv/test_nul.py <- chunks/test_csv_nul.py
formats/csv/test_parses.py <- chunks/test_csv_parses.py
formats/csv/test_dates.py <- chunks/test_csv_dates.py
formats/parquet/test_empty_groups.py <- chunks/test_empty_groups.py
formats/json/test_empty_lines_files.py <- chunks/test_empty_lines_files.py
formats/csv/test_encodings.py <- chunks/test_csv_encodings.py
formats/csv/test_hints.py <- chunks/test_hints.py
formats/csv/test_missing_columns.py <- chunks/test_csv_missing_columns.py
formats/csv/test_open_quotes.py <- chunks/test_csv_open_quotes.py
formats/csv/test_names.py <- chunks/test_csv_names.py
formats/csv/test_options.py <- chunks/test_csv_options.py
formats/csv/test_quarantine.py <- chunks/test_csv_quarantine.py
formats/csv/test_reader.py <- chunks/test_read_csv.py
formats/csv/test_small_files.py <- chunks/test_csv_small_files.py
formats/csv/records/test_cuts.py <- chunks/test_csv_cuts.py
formats/csv/records/test_data_start.py <- chunks/test_csv_lines.py
formats/csv/records/test_dialect.py <- chunks/test_csv_dialect.py

formats/json/test_array.py <- chunks/test_read_json.py
formats/json/test_lines.py <- chunks/test_read_jsonl.py
formats/json/test_messages.py <- chunks/test_json_messages.py
formats/json/test_quarantine.py <- chunks/test_json_quarantine.py

chunks/test_chunk.py <- chunks/test_chunk.py
chunks/test_dataset.py <- chunks/test_dataset.py
chunks/test_long_records.py <- chunks/test_long_records.py
chunks/test_plan.py <- chunks/test_plan.py
chunks/test_reduced_dtypes.py <- chunks/test_reduced_dtypes.py
chunks/test_sizing.py <- chunks/test_sizing.py

output/test_common_schema.py <- records/test_common_schema.py
output/test_complete.py <- test_mending.py
output/test_partitions.py <- records/test_partition_directories.py
output/test_append_crash.py <- records/test_append_crash.py
output/test_sink.py <- records/test_sink.py
output/test_to_arrow.py <- records/test_unchanged.py
output/test_write_text.py <- records/test_write_text.py
output/local/test_commit_crash.py <- records/test_crash_each_step.py
output/store/test_crash.py <- records/test_store_crash.py
output/store/test_remote.py <- records/test_remote.py
output/store/test_s3.py <- records/test_s3_output.py
output/store/test_target.py <- records/test_store_sink.py

checkpoints/test_code_identity.py <- records/test_identity.py
checkpoints/test_dynamic_code.py <- records/test_dynamic_code.py
checkpoints/test_journal.py <- records/test_journal.py
checkpoints/test_quarantine_process.py <- records/test_apart.py
checkpoints/test_values.py <- records/test_exact.py

checks/test_laws.py <- test_testing.py

flow/test_drawings_in_browser.py <- flow/test_pictures_in_browser.py
flow/diagram/test_draw.py <- flow/test_diagram.py
flow/binding/test_bind.py <- flow/test_binding.py
flow/language/test_parser.py <- flow/test_parser.py
flow/language/test_writer.py <- flow/test_text.py

report/test_bottleneck.py <- report/test_html_bound.py
report/test_log_file.py <- report/test_run_log.py
report/test_notify.py <- report/test_announcer.py
report/html/test_charts.py <- report/test_html_charts.py
report/html/test_write.py <- report/test_html.py
report/dashboard/test_page.py <- report/test_dashboard.py
report/test_run_columns.py <- report/test_live.py

execution/test_retry_rules.py <- execution/test_decide.py
execution/test_fan_out.py <- execution/test_busy.py
execution/test_split_chunks.py <- execution/test_splitting.py
execution/schedulers/test_base.py <- execution/test_strategies.py
execution/schedulers/test_cut_off.py <- execution/test_cut_off.py
execution/schedulers/test_dask.py <- execution/test_real_cluster.py
execution/schedulers/test_local_cluster.py <- execution/test_own_cluster.py
execution/schedulers/test_resources.py <- execution/test_resources.py
execution/schedulers/test_security.py <- execution/test_security.py
execution/schedulers/test_signals.py <- execution/test_interrupts.py
execution/worker/test_child_process.py <- execution/test_children.py
execution/worker/test_side_effects.py <- execution/test_contained.py
execution/worker/test_contracts.py <- execution/test_contracts.py
execution/worker/test_deadline.py <- execution/test_deadline.py
execution/worker/test_log_capture.py <- execution/test_hearing.py
execution/worker/test_result_limit.py <- execution/test_travel.py
execution/worker/test_items.py <- execution/test_process.py
execution/worker/test_terminal_relay.py <- execution/test_relay.py

forecast/test_simulate.py <- forecast/test_play.py

run/test_bad_lines.py <- test_run_bad_lines.py
run/test_check.py <- test_check.py
run/test_history.py <- test_history.py
run/test_output.py <- test_output.py
run/test_past_run.py <- test_past_run.py
run/test_quarantine.py <- test_quarantine.py
run/test_resume.py <- test_resume.py
run/test_run.py <- test_run.py
run/test_long_quotes.py <- test_long_quotes.py
run/test_no_place.py <- test_no_place.py
run/test_output_lost_parts.py <- test_output_lost_parts.py
run/test_output_modes.py <- test_output_modes.py
run/test_series_results.py <- test_series_results.py
run/test_unreadable_files.py <- test_unreadable_files.py
run/test_streams.py <- test_streams.py

cli/test_narrow.py <- cli/test_narrow.py
cli/test_wording.py <- cli/test_words.py
"""
TEST_CARVES = [("formats/csv/test_bad_lines.py", "SKIPPED", "support/bad_records.py", "CSV texts with records of too many fields, and the options that leave them out.")]
TEST_FOLDERS_END = ("aggregation/", "chunks/", "records/")
TEST_DOCS = {
    "conftest.py": "Settings, folders, helpers and stores for all tests.",
}
TEST_HEADS = {}
TEXTS_STAY = {"CHANGELOG.md"}
TEXT_PATCHES = {
    "tests/sources/test_changed.py": [
        ("from taskinity_data.sources import changed as marks", "from taskinity_data.chunks.chunk import mark_chunk"),
        ("marks.mark_chunk(", "mark_chunk("),
    ],
    "docs/design/running.md": [("`limits.py` says when a run stops", "`execution/stop_rules.py` says when a run stops")],
    "docs/design/faults.md": [("when a run stops says `limits.py`", "when a run stops says `execution/stop_rules.py`")],
    "tests/formats/csv/test_quarantine.py": [("from test_csv_bad_lines import", "from bad_records import")],
    "tests/formats/test_bad_tables.py": [('HERE / "damage.py"', 'HERE.parent / "support" / "damage.py"')],
    "tests/forecast/test_simulate.py": [
        ('    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "chunks")\n', ""),
        ("(workers, fixed, monkeypatch):", "(workers, fixed):"),
    ],
    "docs/screenshots.py": [('ROOT / "tests" / "report"', 'ROOT / "tests" / "support"')],
    "tests/test_docs.py": [('"taskinity_data" / "cli" / "bench.py"', '"taskinity_data" / "cli" / "commands" / "bench.py"')],
    "tests/test_public_names.py": [("td.flow.parser is parser", "td.flow.language.parser is parser")],
}
