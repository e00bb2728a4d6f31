import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect } from 'chai'
import { apis } from '../../src/apis/apis.js'

type Floors = readonly (readonly string[])[]

/** Rooms from the ground up. A file imports its own room and rooms on a floor strictly below. Rooms of one floor are strangers. */
const floors: Floors = [
  ['core'],
  ['kafka'],
  ['embedded-broker', 'router'],
  ['consumer', 'producer', 'schemas'],
  ['verbs'],
  ['client'],
  ['http', 'webhooks'],
  ['apis', 'deployment'],
  ['server'],
  ['client.ts', 'testing.ts'],
  ['client-with-schemas.ts'],
  ['cli', 'index.ts'],
  ['main.ts']
]

/** The folders of a room, in the same order by the same rule. */
const floorsInside: Readonly<Record<string, Floors>> = {
  router: [['messages'], ['requests'], ['processors'], ['dispatcher'], ['routing']],
  consumer: [['partition'], ['group'], ['stream', 'queue'], ['instance']],
  producer: [['receipts'], ['log', 'memory'], ['keys', 'transactions'], ['disk']],
  http: [['access'], ['engine'], ['exchange'], ['openapi', 'status'], ['page'], ['api'], ['server']],
  apis: [
    ['api-command'],
    ['instance-routes', 'kafka-properties'],
    apis.map(({ name }) => name),
    ['apis', 'api-commands']
  ],
  deployment: [['calls'], ['gateways', 'workers', 'lending'], ['verbs']],
  server: [['config'], ['webhooks'], ['app']]
}

/** Parts that could be packages of their own, and what they may import besides their own files. */
const borders: readonly { readonly part: string; readonly allowed: RegExp }[] = [
  { part: 'embedded-broker', allowed: /^(embedded-broker|core|kafka)\// },
  { part: 'producer/log', allowed: /^(producer\/log|core)\// },
  { part: 'http/engine', allowed: /^(http\/engine|core)\// }
]

/** The folders that may import a package. */
const packages: Readonly<Record<string, readonly string[]>> = {
  nact: ['core/actor'],
  kafkajs: ['kafka'],
  '@node-rs/crc32': ['kafka'],
  snappyjs: ['kafka'],
  'lz4-napi': ['kafka'],
  '@bokuweb/zstd-wasm': ['kafka'],
  'lru-cache': ['router/processors', 'schemas'],
  re2js: ['consumer/group', 'schemas'],
  ajv: ['schemas'],
  'ajv-draft-04': ['schemas'],
  protobufjs: ['schemas', 'apis/kafka-pixy/grpc'],
  '@bufbuild/protobuf': ['schemas'],
  ws: ['apis/arion'],
  '@modelcontextprotocol/server': ['apis/mcp'],
  fastify: ['apis', 'http'],
  // They become part of the page when it is built.
  preact: ['http/page'],
  htm: ['http/page'],
  // Consumer instances and the embedded broker check their stored states, which others can write.
  zod: [
    'apis',
    'consumer/instance',
    'core/settings',
    'embedded-broker/storage',
    'http',
    'server/config',
    'server/webhooks',
    'webhooks'
  ],
  yaml: ['apis', 'server/config'],
  jose: ['http/access'],
  '@opentelemetry/api': ['core/tracing'],
  'prom-client': ['core/metrics'],
  commander: ['cli'],
  '@bomb.sh/tab': ['cli'],
  'fastest-levenshtein': ['core/settings'],
  pino: ['server/app'],
  'node:fs': ['cli', 'core/files', 'embedded-broker', 'producer/log', 'schemas', 'server/config'],
  'node:fs/promises': ['cli', 'embedded-broker', 'producer/log', 'server/config']
}

const files = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => join(entry.parentPath, entry.name))

/** `['router', 'messages']` for `src/router/messages/request.ts`, `['apis', 'apis']` for `src/apis/apis.ts`. */
const partsOf = (file: string): string[] =>
  relative('src', file)
    .replace(/(\.d)?\.[jt]s$/, '')
    .split('/')

/** `router` for `src/router/messages/request.ts`, `client.ts` for the entry `src/client.ts`. */
const roomOf = (file: string): string => (partsOf(file).length === 1 ? `${partsOf(file)[0]}.ts` : partsOf(file)[0]!)

/** Every room describes its own settings, with zod. */
const isSettings = (file: string): boolean => /(settings|options)\.ts$/.test(file)

const floorOf = (name: string, of: Floors): number => of.findIndex(names => names.includes(name))

/** Whether a file of `from` may import one of `to`. */
const mayImport = (from: string, to: string, of: Floors): boolean => from === to || floorOf(to, of) < floorOf(from, of)

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
  const imports = new Map(
    sources.map(file => [
      file,
      importsOf(file)
        .filter(name => name.startsWith('.'))
        .map(name => targetOf(file, name))
    ])
  )
  const arrows = [...imports].flatMap(([file, targets]) => targets.map(target => [file, target] as const))
  const asText = ([file, target]: readonly [string, string]): string =>
    `${relative('src', file)} -> ${relative('src', target)}`

  it('has a floor for every room, and for every folder of a room that has floors inside', () => {
    expect([...new Set(sources.map(roomOf))].filter(room => floorOf(room, floors) < 0)).to.deep.equal([])
    const inside = sources.map(partsOf).filter(([room]) => Object.hasOwn(floorsInside, room!))
    expect(
      inside.filter(([room, part]) => floorOf(part!, floorsInside[room!]!) < 0).map(parts => parts.join('/'))
    ).to.deep.equal([])
  })

  it('imports go downwards only', () => {
    const wrong = arrows.filter(([file, target]) => !mayImport(roomOf(file), roomOf(target), floors))
    expect(wrong.map(asText)).to.deep.equal([])
  })

  it('imports go downwards only, inside a room as well', () => {
    const wrong = arrows.filter(([file, target]) => {
      const [[room, from], [otherRoom, to]] = [partsOf(file), partsOf(target)]
      const inside = floorsInside[room!]
      return room === otherRoom && inside !== undefined && !mayImport(from!, to!, inside)
    })
    expect(wrong.map(asText)).to.deep.equal([])
  })

  it('has a page of at most 40 lines for every room', () => {
    const rooms = readdirSync('src', { withFileTypes: true }).filter(entry => entry.isDirectory())
    const pages = rooms.map(({ name }) => join('src', name, 'README.md'))
    expect(pages.filter(page => !existsSync(page))).to.deep.equal([])
    expect(pages.filter(page => readFileSync(page, 'utf8').trimEnd().split('\n').length > 40)).to.deep.equal([])
  })

  it('has only names of files that exist in the pages of the rooms', () => {
    const rooms = readdirSync('src', { withFileTypes: true }).filter(entry => entry.isDirectory())
    const missing = rooms.flatMap(({ name: room }) => {
      const page = readFileSync(join('src', room, 'README.md'), 'utf8')
      const named = [...page.matchAll(/(?<![\w/.-])([\w-]+(?:\/[\w-]+)*\.ts)\b/g)].map(match => match[1]!)
      return named
        .filter(name => !['.', 'src', join('src', room)].some(folder => existsSync(join(folder, name))))
        .filter(name => !sources.some(source => source.endsWith(`/${name}`)))
        .map(name => `${room}: ${name}`)
    })
    expect(missing).to.deep.equal([])
  })

  it('no file imports itself by way of others', () => {
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

  it('parts that could be packages of their own import what their border allows only', () => {
    const wrong = arrows.filter(([file, target]) => {
      const border = borders.find(({ part }) => file.startsWith(`src/${part}/`))
      return border !== undefined && !border.allowed.test(relative('src', target))
    })
    expect(wrong.map(asText)).to.deep.equal([])
    for (const { part } of borders)
      expect(
        sources.some(file => file.startsWith(`src/${part}/`)),
        part
      ).to.equal(true)
  })

  it("Kafka's error codes are compared by name", () => {
    const bare = /\berrorCode\b[^\n=]{0,12}(?:[!=]==|\?\?|:(?= -?\d+,?\n)) -?\d/
    const wrong = sources.filter(file => bare.test(readFileSync(file, 'utf8')))
    expect(wrong).to.deep.equal([])
  })

  it('the verbs are all that APIs know of Kafka', () => {
    const known = /^(apis|core|verbs|http\/(access|api|exchange|openapi)|kafka\/error-codes|schemas)\b/
    const wrong = arrows.filter(([file, target]) => roomOf(file) === 'apis' && !known.test(relative('src', target)))
    expect(wrong.map(asText)).to.deep.equal([])
  })

  it('APIs are known by their list only', () => {
    const isApi = (path: string): boolean => /^src\/apis\/[^/]+\//.test(path)
    // The types of kafboy's hooks are part of the package, for the modules of users.
    const allowed = ['apis/apis.ts', 'apis/api-commands.ts', 'index.ts -> apis/kafboy/hooks/hooks.ts']
    const wrong = arrows
      .filter(([file, target]) => !isApi(file) && isApi(target))
      .map(asText)
      .filter(line => !allowed.some(start => line.startsWith(start)))
    expect(wrong).to.deep.equal([])
  })

  it('a package is imported by its folders only', () => {
    const wrong: string[] = []
    for (const file of sources) {
      for (const specifier of importsOf(file)) {
        const name = Object.keys(packages).find(
          name => specifier === name || (!name.startsWith('node:') && specifier.startsWith(`${name}/`))
        )
        if (name === undefined || (name === 'zod' && isSettings(file))) continue
        const isAllowed = packages[name]!.some(folder => file.startsWith(`src/${folder}/`))
        if (!isAllowed) wrong.push(`${relative('src', file)} -> ${specifier}`)
      }
    }
    expect(wrong).to.deep.equal([])
  })
})
