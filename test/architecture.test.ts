import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { expect } from 'chai'

/** From the ground up: a file imports its own room and rooms on a floor strictly below. Rooms of one floor are strangers. */
const floors = [
  ['errors', 'metrics', 'printable', 'backoff', 'thread-module', 'json'],
  ['model', 'listen-error'],
  ['settings'],
  ['actor', 'wire', 'wal', 'access'],
  ['broker', 'operations'],
  ['requests'],
  ['processors'],
  ['dispatcher'],
  ['router'],
  ['groups'],
  ['delivery', 'reading'],
  ['durable'],
  ['gateway'],
  ['exchange'],
  ['openapi'],
  ['dialects'],
  ['dialects/*'],
  ['dialects/dialects', 'dialects/commands'],
  ['http'],
  ['workers'],
  ['config'],
  ['app'],
  ['index', 'main']
]

/** A guest enters by one door. */
const guests: Record<string, RegExp> = {
  nact: /^actor$/,
  kafkajs: /^wire$/,
  '@node-rs/crc32': /^wire$/,
  snappyjs: /^wire$/,
  'lz4-napi': /^wire$/,
  '@bokuweb/zstd-wasm': /^wire$/,
  'lru-cache': /^processors$/,
  ws: /^dialects\/arion$/,
  fastify: /^(dialects|http)/,
  zod: /^(config|settings|dialects)/,
  yaml: /^(config|dialects\/(kprf|kafka-pixy))$/,
  'smol-toml': /^dialects\/kprf$/,
  ini: /^dialects\/kprf$/,
  hjson: /^dialects\/kprf$/,
  jose: /^access$/,
  'prom-client': /^metrics$/,
  commander: /^main$/,
  '@bomb.sh/tab': /^main$/,
  'fastest-levenshtein': /^settings$/,
  pino: /^app$/,
  'pino-pretty': /^app$/,
  'node:fs': /^(wal|broker|main|config)$/,
  'node:fs/promises': /^(wal|broker|main|config)$/
}

const files = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => join(entry.parentPath, entry.name))

const roomOf = (file: string): string => {
  const path = relative('src', file).replace(/(\.d)?\.[jt]s$/, '')
  return path.match(/^dialects\/(?:(?:dialects|commands)$|[^/]+(?=\/))|^[^/]+/)![0]
}
/** Every room describes its own settings, with zod. */
const isSettings = (file: string): boolean => /(settings|options)\.ts$/.test(file)

const floorOf = (room: string): number =>
  [room, room.replace(/\/.*/, '/*')]
    .map(name => floors.findIndex(rooms => rooms.includes(name)))
    .find(floor => floor >= 0) ?? -1

const importsOf = (file: string): string[] =>
  [
    ...readFileSync(file, 'utf8').matchAll(
      /(?:^|\n)\s*(?:import|export)\b[^'\n]*?(?:\{[^}]*\}[^'\n]*?)?from '([^']+)'|import\('([^']+)'\)|\brequire\('([^']+)'\)/g
    )
  ].map(match => (match[1] ?? match[2] ?? match[3])!)

/** A path from `file` along imports back to itself, if there is one; type imports count. */
function circleThrough(file: string, imports: ReadonlyMap<string, readonly string[]>): readonly string[] | undefined {
  const cameFrom = new Map<string, string>()
  const queue = [file]
  for (const current of queue) {
    for (const target of imports.get(current) ?? []) {
      if (target === file) return pathTo(current, cameFrom).concat(file)
      if (cameFrom.has(target)) continue
      cameFrom.set(target, current)
      queue.push(target)
    }
  }
  return undefined
}

const pathTo = (file: string, cameFrom: ReadonlyMap<string, string>): readonly string[] => {
  const before = cameFrom.get(file)
  return before === undefined ? [file] : [...pathTo(before, cameFrom), file]
}

/** The file that a relative specifier names: sources import each other as the `.js` files they become. */
const targetOf = (file: string, specifier: string): string => join(dirname(file), specifier).replace(/\.js$/, '.ts')

describe('architecture', () => {
  const sources = files('src')

  it('has a floor for every room', () => {
    expect([...new Set(sources.map(roomOf))].filter(room => floorOf(room) < 0)).to.deep.equal([])
  })

  it('imports go downwards only', () => {
    const wrong: string[] = []
    for (const file of sources) {
      const room = roomOf(file)
      for (const specifier of importsOf(file)) {
        if (!specifier.startsWith('.')) continue
        const target = roomOf(relative('.', resolve(dirname(file), specifier)))
        if (target !== room && floorOf(target) >= floorOf(room)) wrong.push(`${relative('src', file)} -> ${specifier}`)
      }
    }
    expect(wrong).to.deep.equal([])
  })

  it('no file imports itself by way of others', () => {
    const imports = new Map(
      sources.map(file => [
        file,
        importsOf(file)
          .filter(name => name.startsWith('.'))
          .map(name => targetOf(file, name))
      ])
    )
    const circles = sources
      .map(file => circleThrough(file, imports)?.join(' -> '))
      .filter(circle => circle !== undefined)
    expect(circles).to.deep.equal([])
  })

  it('finds a circle of files, however long', () => {
    const imports = new Map([
      ['a.ts', ['b.ts']],
      ['b.ts', ['c.ts']],
      ['c.ts', ['a.ts']],
      ['d.ts', ['e.ts']],
      ['e.ts', ['b.ts']]
    ])
    expect(circleThrough('a.ts', imports)).to.deep.equal(['a.ts', 'b.ts', 'c.ts', 'a.ts'])
    expect(circleThrough('d.ts', imports)).to.equal(undefined)
  })

  it("Kafka's error codes are compared by name", () => {
    const bare = /\berrorCode\b[^\n=]{0,12}(?:[!=]==|\?\?|:(?= -?\d+,?\n)) -?\d/
    const wrong = sources.filter(file => bare.test(readFileSync(file, 'utf8')))
    expect(wrong).to.deep.equal([])
  })

  it('house 3: the gateway is all that dialects know of Kafka', () => {
    const known =
      /^(dialects|gateway|exchange|openapi|access|settings|metrics|json|model|errors|printable|backoff|thread-module|listen-error|wire\/error-codes)\b/
    const wrong = sources
      .filter(file => roomOf(file).startsWith('dialects'))
      .flatMap(file =>
        importsOf(file)
          .filter(specifier => specifier.startsWith('.'))
          .map(specifier => relative('src', targetOf(file, specifier)))
          .filter(target => !known.test(target))
          .map(target => `${relative('src', file)} -> ${target}`)
      )
    expect(wrong).to.deep.equal([])
  })

  it('house 2: dialects are known by their list only', () => {
    const isDialect = (path: string): boolean => /^dialects\/[^/]+\//.test(path)
    // The types of kafboy's hooks are part of the package, for the modules of users.
    const allowed = ['apis/apis.ts', 'apis/commands.ts', 'index.ts -> apis/kafboy/hooks/hooks.ts']
    const wrong = sources
      .map(file => relative('src', file))
      .filter(file => !isDialect(file))
      .flatMap(file =>
        importsOf(join('src', file))
          .filter(specifier => specifier.startsWith('.'))
          .map(specifier => relative('src', targetOf(join('src', file), specifier)))
          .filter(isDialect)
          .map(target => `${file} -> ${target}`)
      )
      .filter(line => !allowed.some(start => line.startsWith(start)))
    expect(wrong).to.deep.equal([])
  })

  it('guests enter by one door', () => {
    const wrong: string[] = []
    for (const file of sources) {
      for (const specifier of importsOf(file)) {
        const guest = Object.keys(guests).find(
          name => specifier === name || (!name.startsWith('node:') && specifier.startsWith(`${name}/`))
        )
        if (guest && !guests[guest]!.test(roomOf(file)) && !(guest === 'zod' && isSettings(file)))
          wrong.push(`${relative('src', file)} -> ${specifier}`)
      }
    }
    expect(wrong).to.deep.equal([])
  })
})
