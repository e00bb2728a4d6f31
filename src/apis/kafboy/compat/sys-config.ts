import { ConfigError } from '../../../core/errors.js'
import { messageOf } from '../../../core/node-errors.js'
import { suggestion } from '../../../core/settings/problems.js'
import { Findings, type ForeignConfiguration, type Keys, type Translation } from '../../api-command.js'

const KAFBOY = 'apis.kafboy'
const COMMAND = 'castellan kafboy'
const DEFAULT_PORT = 8_000
const DEFAULT_BROKER = 'localhost:9091'

const HOOKS = 'modules of Erlang cannot be called; see the hooks in docs/compatibility/kafboy.md'
const OF_ERLANG = 'it is about the Erlang machine'
const NO_CLUSTER = 'there is no cluster to join: every instance can produce to every partition'
const ONE_CONNECTION = 'one connection to a broker carries all partitions'

const KEYS: Keys = {
  kafboy_http_port: { setting: `${KAFBOY}.port` },
  kafboy_sync_url: { setting: `${KAFBOY}.syncUrl` },
  kafboy_async_url: { setting: `${KAFBOY}.asyncUrl` },
  kafboy_routes_sync: { setting: `${KAFBOY}.routesSync` },
  kafboy_routes_async: { setting: `${KAFBOY}.routesAsync` },
  kafboy_routes_async_batch: { setting: `${KAFBOY}.routesAsyncBatch` },
  kafboy_load_balancer: { note: NO_CLUSTER },
  kafboy_master: { note: NO_CLUSTER },
  kafboy_callback_edit_json: { note: `${HOOKS}; name yours with apis.kafboy.callbackEditJson` },
  kafboy_callback_auth: { note: 'kafboy does not call it either' },
  kafboy_enable_safetyvalve: { note: 'requests wait while the buffer is full, and are refused after a time limit' },
  kafboy_fresh: { note: OF_ERLANG },
  kafboy_set_cookie: { note: OF_ERLANG },
  kafboy_profiling_apps: { note: OF_ERLANG },
  kafboy_enable_trace: { note: OF_ERLANG },
  enable_logging: { note: 'the log goes to stdout, or to log.file' },
  ekaf_bootstrap_topics: { note: 'a topic is looked up when its first record comes' },
  ekaf_per_partition_workers: { note: ONE_CONNECTION },
  ekaf_per_partition_workers_max: { note: ONE_CONNECTION },
  ekaf_max_buffer_size: { setting: `${KAFBOY}.maxBufferRecords` },
  ekaf_buffer_ttl: { setting: `${KAFBOY}.bufferTtlMs` },
  ekaf_partition_strategy: { setting: `${KAFBOY}.partitionStrategy` },
  ekaf_sticky_partition_buffer_size: { setting: `${KAFBOY}.stickyPartitionRecords` },
  ekaf_max_downtime_buffer_size: { note: 'records that wait for Kafka share delivery.maxBytes' },
  ekaf_push_to_statsd_enabled: { note: 'metrics are exported for all topics: statsd.host' }
}
const BROKER_KEY = 'ekaf_bootstrap_broker'
/** Names that may be lists of `{Topic, Value}`. The setting of a topic has the same name. */
const BY_TOPIC: ReadonlySet<string> = new Set([
  'ekaf_max_buffer_size',
  'ekaf_buffer_ttl',
  'ekaf_partition_strategy',
  'ekaf_sticky_partition_buffer_size'
])
const SECTIONS: ReadonlySet<string> = new Set(['kafboy', 'ekaf'])

class KafboyFindings extends Findings {
  /** Settings of single topics. */
  readonly topics = new Map<string, Record<string, unknown>>()
}

/**
 * Translates a configuration file of kafboy and ekaf, and the flags.
 *
 * @throws ConfigError when the file cannot be read
 */
export function translateKafboy(given: ForeignConfiguration): Translation {
  const { flags, readFile } = given
  const found = new KafboyFindings()
  // kafboy listens on every address.
  found.set(`${KAFBOY}.host`, '0.0.0.0', COMMAND)
  found.set(`${KAFBOY}.port`, DEFAULT_PORT, 'default of kafboy')
  if (!flags.has('embedded')) found.set('clusters.default.brokers', [DEFAULT_BROKER], 'default of ekaf')
  const file = flags.get('config')
  if (typeof file === 'string') translateFile(found, file, readFile(file), flags.has('embedded'))
  found.serveAlone(COMMAND, given, `${KAFBOY}.port`)
  return found.translation()
}

function translateFile(found: KafboyFindings, file: string, text: string, isEmbedded: boolean): void {
  const sections = read(file, text)
  for (const [section, content] of pairsOf(sections)) {
    // Sections of other applications of the same Erlang machine.
    if (!SECTIONS.has(section)) continue
    for (const [key, value] of pairsOf(content)) {
      const origin = `${file}, ${key}`
      if (key !== BROKER_KEY) translateKey(found, key, value, origin)
      else if (!isEmbedded) found.set('clusters.default.brokers', [brokerOf(value, origin)], origin)
    }
  }
  if (found.topics.size === 0) return
  const topics = [...found.topics].map(([topic, own]) => ({ topic, ...own }))
  found.set(`${KAFBOY}.topics`, topics, `${file}, ekaf`)
}

function read(file: string, text: string): Term {
  try {
    return parseTerm(text)
  } catch (error) {
    throw new ConfigError(`${file}: ${messageOf(error)}`)
  }
}

function translateKey(found: KafboyFindings, key: string, value: Term, origin: string): void {
  const known = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined
  if (known === undefined) {
    const isHook = key.startsWith('ekaf_callback_')
    const hint = suggestion(key, [...Object.keys(KEYS), BROKER_KEY])
    found.notes.push(`${key} ${isHook ? `has no effect: ${HOOKS}` : `is no key of kafboy and is ignored${hint}`}`)
  } else if (BY_TOPIC.has(key) && Array.isArray(value)) {
    // `[{<<"orders">>, 5}, {ekaf_max_buffer_size, 7}]`: the key itself stands for all other topics.
    const name = known.setting!.split('.').at(-1)!
    for (const [topic, own] of pairsOf(value)) {
      if (topic === key) found.take(known, plain(own), origin)
      else found.topics.set(topic, { ...found.topics.get(topic), [name]: plain(own) })
    }
  } else found.take(known, plain(value), origin, key)
}

/** Pairs of a list of `{Key, Value}`. An atom alone is `{Atom, true}`; other elements are ignored. */
function pairsOf(term: Term): [key: string, value: Term][] {
  if (!Array.isArray(term)) return []
  return (term as readonly Term[]).flatMap((member): [string, Term][] => {
    if (member instanceof Atom) return [[member.name, new Atom('true')]]
    if (!(member instanceof Tuple) || member.members.length !== 2) return []
    const [key, value] = member.members as [Term, Term]
    const name = key instanceof Atom ? key.name : key
    return typeof name === 'string' ? [[name, value]] : []
  })
}

/** @throws ConfigError when it is no `{"HOST", PORT}` */
function brokerOf(value: Term, origin: string): string {
  const [host, port] = value instanceof Tuple ? value.members : []
  const name = host instanceof Atom ? host.name : host
  if (typeof name !== 'string' || typeof port !== 'number') throw new ConfigError(`${origin}: write {"HOST", PORT}`)
  return `${name}:${port}`
}

/** The value of a setting: an atom becomes a word, `true` and `false` become booleans. */
function plain(term: Term): unknown {
  if (term instanceof Atom) return term.name === 'true' ? true : term.name === 'false' ? false : term.name
  if (term instanceof Tuple) return term.members.map(plain)
  return Array.isArray(term) ? (term as readonly Term[]).map(plain) : term
}

/** A word of Erlang's: `true`, `random`, `'a b'`. */
export class Atom {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

/** `{a, 1}` */
export class Tuple {
  readonly members: readonly Term[]

  constructor(members: readonly Term[]) {
    this.members = members
  }
}

/** A string or a binary is a text. */
type Term = number | string | Atom | Tuple | readonly Term[]

/** Limit of depth: a configuration is never this deep. */
const MAX_DEPTH = 100
const BLANK = /(?:\s|%[^\n]*)*/y
const NUMBER = /[+-]?\d+(?:\.\d+(?:[eE][+-]?\d+)?)?/y
const ATOM = /[a-z][\w@]*/y
const QUOTED_ATOM = /'((?:[^'\\]|\\[\s\S])*)'/y
const STRING = /"((?:[^"\\]|\\[\s\S])*)"/y
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', s: ' ', e: '\u001b', 0: '\0' }

/**
 * The term of a text such as Erlang's `file:consult` reads; what follows its full stop is not read.
 *
 *   [{ekaf, [{ekaf_bootstrap_broker, {"kafka-1", 9092}}]}].
 *
 * @throws SyntaxError naming the line, and nothing of the text, which may hold a secret
 */
export function parseTerm(text: string): Term {
  const parser = new Parser(text)
  const term = parser.term(0)
  if (!parser.takes('.')) parser.fail('a full stop')
  return term
}

class Parser {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  term(depth: number): Term {
    if (depth > MAX_DEPTH) this.fail('fewer brackets in brackets')
    if (this.takes('[')) return this.#members(']', depth)
    if (this.takes('{')) return new Tuple(this.#members('}', depth))
    if (this.takes('<<')) return this.#binary()
    const number = this.#match(NUMBER)
    if (number !== undefined) return Number(number[0])
    const atom = this.#match(ATOM)
    if (atom !== undefined) return new Atom(atom[0])
    const quoted = this.#match(QUOTED_ATOM)
    if (quoted !== undefined) return new Atom(unescaped(quoted[1]!))
    return this.#string() ?? this.fail('a term')
  }

  /** Consumes the sign and returns true if it comes next. */
  takes(sign: string): boolean {
    this.#match(BLANK)
    if (!this.#text.startsWith(sign, this.#at)) return false
    this.#at += sign.length
    return true
  }

  fail(expected: string): never {
    const line = this.#text.slice(0, this.#at).split('\n').length
    throw new SyntaxError(`line ${line}: expected ${expected} of Erlang`)
  }

  #members(end: string, depth: number): Term[] {
    const members: Term[] = []
    if (this.takes(end)) return members
    do members.push(this.term(depth + 1))
    while (this.takes(','))
    if (!this.takes(end)) this.fail(`"," or "${end}"`)
    return members
  }

  #binary(): string {
    if (this.takes('>>')) return ''
    const text = this.#string() ?? this.fail('a text')
    if (!this.takes('>>')) this.fail('">>"')
    return text
  }

  /** Texts side by side are one. */
  #string(): string | undefined {
    let text: string | undefined
    this.#match(BLANK)
    for (let match = this.#match(STRING); match !== undefined; match = this.#match(STRING)) {
      text = (text ?? '') + unescaped(match[1]!)
      this.#match(BLANK)
    }
    return text
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text) ?? undefined
    if (match !== undefined) this.#at = pattern.lastIndex
    return match
  }
}

const unescaped = (text: string): string => text.replace(/\\([\s\S])/g, (_, sign: string) => ESCAPES[sign] ?? sign)
