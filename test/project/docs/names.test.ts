import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { commands } from '../../../src/cli/cli.js'
import { type CommandDescription, EXIT_FAILURE, EXIT_OK, EXIT_USAGE } from '../../../src/cli/command.js'
import { formerCommands, formerFlags } from '../../../src/cli/usage-message.js'
import { environmentName } from '../../../src/core/settings/setting-names.js'
import { attributes } from '../../../src/core/tracing/names.js'
import { servedApis } from '../../../src/embedded-broker/api/kafka-apis.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { aclWords } from '../../../src/kafka/protocol/acls.js'
import { describeSettings } from '../../../src/server/config/schema.js'
import { VERB_FACTS } from '../../../src/verbs/facts.js'
import { isSecretVariable } from '../../../src/webhooks/definitions.js'
import { commandLinePage } from './command-line.js'
import { casesPage } from './compatibility-cases.js'
import { rightsPage } from './rights-page.js'
import { verbsPage } from './verbs-page.js'

/** Every page that users read, by its path. The changelog also names what is gone. */
const pages = new Map(
  [
    'README.md',
    'test/cases.md',
    ...readdirSync('docs', { recursive: true, encoding: 'utf8' }).map(name => join('docs', name))
  ]
    .filter(path => path.endsWith('.md') && path !== 'docs/changelog.md' && !path.startsWith('docs/site/'))
    .map(path => [path, readFileSync(path, 'utf8')])
)

/** `docs/x.md: name` for every match in a page that is not known. */
function unknown(pattern: RegExp, isKnown: (name: string) => boolean): string[] {
  const found = [...pages].flatMap(([path, text]) =>
    [...text.matchAll(pattern)].map(match => [path, match[1]!] as const)
  )
  expect(found).to.not.deep.equal([])
  return [...new Set(found.filter(([, name]) => !isKnown(name)).map(([path, name]) => `${path}: ${name}`))]
}

/** Whether a page has a heading, or a mark, with the name behind the `#`. */
function hasSection(section: string): boolean {
  const [path, anchor] = section.split('#')
  const text = pages.get(path!)
  if (text === undefined || anchor === undefined) return text !== undefined
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading!.toLowerCase())
  const names = headings.map(heading => heading.replaceAll(/[^\w -]/g, '').replaceAll(' ', '-'))
  return names.includes(anchor) || text.includes(`<a id="${anchor}">`)
}

const all = (descriptions: readonly CommandDescription[]): CommandDescription[] =>
  descriptions.flatMap(description => [description, ...all(description.commands ?? [])])

describe('the docs name only what exists:', () => {
  const { leaves, sections } = describeSettings()
  const settings = new Set([...leaves, ...sections].map(({ path }) => path.join('.').replaceAll('*', '<name>')))
  const tops = [...new Set(leaves.map(({ path }) => path[0]!))].join('|')

  it('settings', () => {
    const asPattern = (name: string): string =>
      name.replace(/^clusters\.(default|[a-z]+(-[a-z]+)*)(?=\.|$)/, 'clusters.<name>')
    const isKnown = (name: string): boolean => {
      // The names of attributes of spans begin as the section `http` does.
      if (Object.values<string>(attributes).includes(name)) return true
      // The paths of verbs.
      if (name in VERB_FACTS) return true
      // A field of the library, not a setting.
      if (name === 'router.ref') return true
      // Keys of kafka-rest.properties: ours have no second dot.
      if (/^(consumer|access)(\.[a-z]+){2,}$/.test(name)) return true
      const whole = asPattern(name.replace(/\.?\*$/, ''))
      const everyApi = whole.replace(/^apis\.<(name|NAME|api)>/, 'apis.kafboy')
      return [whole, everyApi].some(
        path => settings.has(path) || [...settings].some(known => known.startsWith(`${path}.`))
      )
    }
    expect(unknown(new RegExp(`\`((?:${tops})\\.[\\w.<>*-]+)(?:: [^\`]*)?\``, 'g'), isKnown)).to.deep.equal([])
  })

  it('settings and sections of pages, which the troubles of the status name', () => {
    const folder = 'src/http/status'
    const sources = readdirSync(folder).map(name => readFileSync(join(folder, name), 'utf8'))
    const namedBy = (pattern: RegExp): string[] =>
      sources.flatMap(text => [...text.matchAll(pattern)].map(([, it]) => it!))
    const named = namedBy(new RegExp(`'((?:${tops})\\.[\\w.]+)'`, 'g'))
    expect(named).to.include('delivery.maxBytes')
    expect(named.filter(name => !settings.has(name))).to.deep.equal([])
    const sections = namedBy(/'(docs\/[\w/-]+\.md(?:#[\w-]+)?)'/g)
    expect(sections).to.include('docs/status.md#brokerdown')
    expect(sections.filter(section => !hasSection(section))).to.deep.equal([])
    // Answers of older versions name it still.
    expect(hasSection('docs/operations.md#the-durable-log')).to.equal(true)
  })

  it('variables', () => {
    const known = new Set(leaves.map(({ path }) => environmentName(path)))
    const isKnown = (name: string): boolean => {
      const plain = name.replace(/_FILE$/, '').replace(/_CLUSTERS_DEFAULT_/, '_CLUSTERS_<NAME>_')
      return (
        known.has(plain) ||
        known.has(name.replace(/_CLUSTERS_DEFAULT_/, '_CLUSTERS_<NAME>_')) ||
        name === 'CASTELLAN_BROKERS' ||
        // No settings: the secrets of webhooks, which the file cannot hold.
        isSecretVariable(name)
      )
    }
    expect(unknown(/\b(CASTELLAN_[A-Z][A-Z_<>]+[A-Z>])/g, isKnown)).to.deep.equal([])
  })

  it('APIs of the embedded broker, each with the versions that are served', () => {
    const rows = pages.get('docs/embedded-broker.md')!.matchAll(/\| ([A-Z][A-Za-z]+) \| (\d+)(?:-(\d+))?(?= \|)/g)
    const told = [...rows].map(([, name, first, last]) => `${name} ${first}-${last ?? first}`)
    const served = servedApis.map(api => `${api.name} ${api.servedFrom ?? api.minVersion}-${api.maxVersion}`)
    expect(told.sort()).to.deep.equal(served.sort())
  })

  it('limits, each with its value', () => {
    const rows = [...pages.get('docs/limits.md')!.matchAll(/^\| `([\w.]+)` \| (.+?) \| .+ \|(?: `(.+)`)? \|$/gm)]
    const defaults = new Map(leaves.map(({ path, defaultValue }) => [path.join('.'), `${defaultValue ?? 'none'}`]))
    expect(rows).to.have.length.above(45)
    for (const [, name, value, file] of rows) {
      if (file === undefined) expect(defaults.get(name!), name).to.equal(value)
      else
        expect(readFileSync(join('src', file), 'utf8').split('\n'), file).to.satisfy((lines: string[]) =>
          lines.some(line => line.replace('export ', '') === `const ${name} = ${value}`)
        )
    }
  })

  it('topics, of which each of the first pages has one of its own', () => {
    const names = ['README.md', ...[...pages.keys()].filter(page => page.startsWith('docs/start/'))].flatMap(page => {
      const commands = [...pages.get(page)!.matchAll(/^```(?:sh|js|php|python|html)\b[\s\S]*?^```/gm)].join('\n')
      const found = commands.matchAll(
        /(?:topics\/|sync\/|\b(?:write|read) |(?:write|read)\('|"?topics?"?: ?\[?["'])([a-z]+)(?=[/'"? \n])/g
      )
      return [...new Set([...found].map(([, name]) => name!))]
    })
    expect(names).to.include.members(['orders', 'books', 'sales'])
    expect(names).to.deep.equal([...new Set(names)])
  })

  it('numbered cases, each with its tests in test/cases.md', () => {
    const page = pages.get('test/cases.md')!
    expect(page.split('\n'), 'npm run docs writes it').to.deep.equal(casesPage().split('\n'))
    expect(page).to.include('| H51 |')
  })

  it('verbs, each with what is true of it in docs/develop/verbs.md', () => {
    expect(pages.get('docs/develop/verbs.md')!.split('\n'), 'npm run docs writes it').to.deep.equal(
      verbsPage().split('\n')
    )
  })

  it('rights in Kafka, by feature, in docs/kafka-rights.md', () => {
    expect(pages.get('docs/kafka-rights.md')!.split('\n'), 'npm run docs writes it').to.deep.equal(
      rightsPage().split('\n')
    )
  })

  it('flags, each of which has its row in docs/command-line.md', () => {
    expect(pages.get('docs/command-line.md')!.split('\n'), 'npm run docs writes it').to.deep.equal(
      commandLinePage().split('\n')
    )
    const own = all(commands).flatMap(({ options }) => options.map(({ long }) => long!))
    const known = new Set([...own, '--help', '--version', ...formerFlags.keys(), ...flagsOfOthers])
    const isKnown = (flag: string): boolean => known.has(flag)
    expect(unknown(/(?<![\w-])(--[a-z][a-zA-Z-]+)/g, isKnown)).to.deep.equal([])
  })

  it('commands', () => {
    const known = new Set(['help', 'version', ...formerCommands.keys(), ...all(commands).map(({ name }) => name)])
    expect(unknown(/(?:^|[`(] ?|npx )castellan ([a-z][a-z-]+)/gm, name => known.has(name))).to.deep.equal([])
  })

  it('commands, each of which the README names', () => {
    const [, list] = pages.get('README.md')!.match(/shows the commands: ([^.]+)\./) ?? []
    const named = [...list!.matchAll(/`([\w-]+)`/g)].map(match => match[1])
    expect(named).to.deep.equal(commands.filter(({ isHidden }) => !isHidden).map(({ name }) => name))
  })

  it('metrics', () => {
    const page = pages.get('docs/metrics.md')!
    const known = [...page.matchAll(/^\| `(castellan_\w+)` \|/gm)].map(match => match[1]!)
    expect(unknown(/`(castellan_\w+)[`{]/g, name => known.some(metric => metric.startsWith(name)))).to.deep.equal([])
  })

  it("Kafka's error codes", () => {
    const isLimit = (name: string): boolean => pages.get('docs/limits.md')!.includes(`\n| \`${name}\` |`)
    const isKnown = (name: string): boolean =>
      Object.hasOwn(errorCodes, name) || namesOfOthers.has(name) || isLimit(name) || wordsOfAcls.has(name)
    expect(unknown(/`(?!CASTELLAN_|ARION_|KAFKA_REST_)([A-Z]+(?:_[A-Z]+)+)`/g, isKnown)).to.deep.equal([])
  })

  it('exit codes, each of which has its row in docs/operations.md', () => {
    const rows = [...pages.get('docs/operations.md')!.matchAll(/^\| ([\d, ]+) \| /gm)].flatMap(match =>
      match[1]!.split(', ')
    )
    const known = [EXIT_OK, EXIT_FAILURE, EXIT_USAGE, 128 + constants.signals.SIGINT, 128 + constants.signals.SIGTERM]
    expect(rows.map(Number)).to.deep.equal(known)
    expect(unknown(/[Ee]xit code (?:is |of )?(\d+)/g, code => known.includes(Number(code)))).to.deep.equal([])
  })

  it('npm scripts, files and pages that links name', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
    expect(unknown(/npm run (?:--silent )?([\w:-]+)/g, name => Object.hasOwn(scripts, name))).to.deep.equal([])
    const broken = [...pages].flatMap(([path, text]) =>
      [...text.matchAll(/\]\((?!https?:)([^)#\s]+)/g)]
        .map(match => join(path, '..', match[1]!))
        .filter(target => !existsSync(target))
        .map(target => `${path}: ${target}`)
    )
    expect(broken).to.deep.equal([])
  })

  it('sections of pages that links name', () => {
    const links = [...pages].flatMap(([path, text]) =>
      [...text.matchAll(/\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)/g)].map(([, file, anchor]) => ({
        path,
        section: `${file === '' ? path : join(path, '..', file!)}#${anchor}`
      }))
    )
    expect(links).to.have.length.above(200)
    const broken = links.filter(({ section }) => !hasSection(section))
    expect(broken.map(({ path, section }) => `${path}: ${section}`)).to.deep.equal([])
  })

  it('source files', () => {
    const folders = ['.', 'src', 'test']
    const isKnown = (name: string): boolean => folders.some(folder => existsSync(join(folder, name)))
    const examples = /(^|\/)(delete-records\.ts$|NAME\/)/
    expect(unknown(/`([\w/-]+\/[\w.-]+\.(?:ts|wat))`/g, name => isKnown(name) || examples.test(name))).to.deep.equal([])
  })
})

/** Flags of programs that are not Castellan's command. */
const flagsOfOthers: readonly string[] = [
  // npm test, npm run bench, explore, simulate, test:hostile, test:fuzz, test:kafka
  ...['--short', '--slow-machine', '--minutes', '--heap', '--few-bytes', '--connections'],
  // castellan receipt of release 0.2.0
  '--addr',
  // systemctl
  '--now',
  // kafka-acls.sh, kafka-consumer-groups.sh
  ...[
    '--bootstrap-server',
    '--add',
    '--delete',
    '--allow-principal',
    '--operation',
    '--topic',
    '--group',
    '--transactional-id'
  ],
  // claude mcp add
  ...['--transport', '--header'],
  // kubectl
  '--from-file',
  // Node
  '--experimental-vm-modules',
  ...['--json', '--seconds', '--rounds', '--only', '--seed', '--seeds', '--jobs', '--trace', '--script'],
  ...['--scenario', '--twice', '--tally', '--minutes', '--peer', '--peer-url', '--list'],
  // curl, Node and mocha
  ...['--cert', '--key', '--cpu-prof', '--expose-gc', '--import', '--test', '--exit', '--grep']
]

const wordsOfAcls: ReadonlySet<string> = new Set(Object.values(aclWords).flat())

/** Names in capitals that are not Kafka's. */
const namesOfOthers: ReadonlySet<string> = new Set([
  // Of Confluent's REST API.
  'TOPIC_NAME',
  'RECORD_NAME',
  'TOPIC_RECORD_NAME',
  'EU_WEST',
  'NO_COLOR',
  'GATE_SECONDS',
  // Of systemd.
  'LISTEN_FDS',
  'LISTEN_PID',
  // Of Arion and its container.
  'KAFKA_BOOTSTRAP',
  'STATSD_HOST',
  'STATSD_PORT',
  'HEAP_SIZE',
  'MAX_PAUSE',
  'JMX_PORT',
  'JMX_HOSTNAME'
])
