import { PassThrough } from 'node:stream'
import { expect } from 'chai'
import { Argument, type Command, Option } from 'commander'
import { toProgram } from '../../src/cli/cli.js'
import { type CommandDescription, UsageError } from '../../src/cli/command.js'
import { configOptions, notEmpty, SettingOption, settingsOf, wholeNumber } from '../../src/cli/options.js'
import { checkRows } from '../support/rows.js'

const description: CommandDescription = {
  name: 'try',
  summary: 'is tried',
  arguments: [new Argument('[TOPIC]').argParser(notEmpty)],
  options: [
    new SettingOption('-p, --port <PORT>', 'the port', 'http.port'),
    new SettingOption('--brokers <HOST:PORT,…>', 'the brokers', 'clusters.default.brokers'),
    new SettingOption('--embedded', 'the embedded broker', 'embedded.enabled'),
    new Option('--count <N>', 'how many').argParser(wholeNumber(1)),
    new Option('--from <WHERE>', 'where').argParser(notEmpty),
    new Option('--format <FORMAT>', 'how').choices(['table', 'json']),
    ...configOptions
  ],
  examples: ['castellan try orders'],
  run: async () => 0
}

/** The line as the command is given it. */
const parse = (...args: string[]): Command => parseWith(description, ['try', ...args])

function parseWith(tried: CommandDescription, args: readonly string[]): Command {
  let parsed: Command | undefined
  const run = async (_: CommandDescription, line: Command): Promise<void> => {
    parsed = line
  }
  const refuse = (_: Command, message: string): never => {
    throw new UsageError(message)
  }
  const stdout = new PassThrough() as unknown as NodeJS.WriteStream
  toProgram([tried], { stdout }, { run, refuse }).parse(args, { from: 'user' })
  return parsed!
}

const problemOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    expect(error).to.be.instanceOf(UsageError)
    return (error as Error).message
  }
  throw new Error('nothing was thrown')
}

describe('flags', () => {
  it('become settings, in every way of writing them', () => {
    for (const args of [['--port', '1'], ['--port=1'], ['-p', '1'], ['-p1'], ['--port', '2', '--port', '1']]) {
      expect(settingsOf(parse(...args))).to.deep.equal([{ flag: '--port', path: ['http', 'port'], value: '1' }])
    }
    expect(settingsOf(parse('--embedded'))).to.deep.equal([
      { flag: '--embedded', path: ['embedded', 'enabled'], value: true }
    ])
    expect(settingsOf(parse())).to.deep.equal([])
  })

  it('set anything by its name, values with = included', () => {
    expect(settingsOf(parse('--set', 'a.b=c=d', '--set=e='))).to.deep.equal([
      { flag: '--set a.b', path: ['a', 'b'], value: 'c=d' },
      { flag: '--set e', path: ['e'], value: '' }
    ])
    expect(problemOf(() => parse('--set', 'a:hush'))).to.match(/^--set takes NAME=VALUE.*"a" has no value$/)
  })

  it('take values that begin with a dash', () => {
    for (const args of [['orders', '--from', '-10'], ['--from=-10']]) {
      expect(parse(...args).opts()).to.deep.include({ from: '-10' })
    }
  })

  it('tell arguments from flags', () => {
    expect(parse('orders', '-p', '1').args).to.deep.equal(['orders'])
    expect(parse('--', '--port').args).to.deep.equal(['--port'])
  })

  describe('commander finds what is wrong, and the message is one line of ours', () => {
    const cases: [string[], string][] = [
      [['--prot', '1'], 'unknown flag --prot; did you mean --port?'],
      [['--bootstrap-server', 'a:1'], 'unknown flag --bootstrap-server; did you mean --brokers?'],
      [['--json'], 'unknown flag --json; did you mean --format json?'],
      [['--addr=hush'], 'unknown flag --addr'],
      [['--prot=hush'], 'unknown flag --prot; did you mean --port?'],
      [['--something-else=hush'], 'unknown flag --something-else'],
      [['-x'], 'unknown flag -x'],
      [['--emb'], 'unknown flag --emb; did you mean --embedded?'],
      [['--countless'], 'unknown flag --countless; did you mean --count?'],
      [['--port'], '--port needs a value: --port PORT'],
      [['--port='], '--port needs a value'],
      [['--from', ''], '--from needs a value'],
      [['--embedded=hush'], '--embedded takes no value'],
      [['orders', 'more'], 'too many arguments: expected 1, got 2'],
      [[''], 'TOPIC is empty, for example: castellan try orders'],
      [['--format', 'xml'], '--format takes table, json, not "xml"'],
      ...['0', '1.5', 'x', '-1', '1e3', '99999999999999999999'].map((text): [string[], string] => [
        ['--count', text],
        `--count takes a whole number of at least 1, not "${text}"`
      ])
    ]
    it('each wrong command line has one message', () =>
      checkRows(cases, ([args, message]) => expect(problemOf(() => parse(...args))).to.equal(message)))
  })

  it('a command below a command has flags of its own, and is missing when none is named', () => {
    const { run, ...parent } = description
    const group: CommandDescription = { ...parent, name: 'group', arguments: [], commands: [description] }
    expect(parseWith(group, ['group', 'try', 'orders', '-p', '1']).opts()).to.deep.equal({ port: '1' })
    expect(problemOf(() => parseWith(group, ['group']))).to.equal('a command is missing; there are try, help')
  })

  it('a command that takes everything is handed each argument as it was written', () => {
    const everything: CommandDescription = { ...description, arguments: [], options: [], takesEverything: true }
    const words = ['-kafkaPeers=a:1', '--help', '--config', 'f', '--', '--version', 'x']
    expect(parseWith(everything, ['try', ...words]).args).to.deep.equal(words)
  })

  it('read a whole number, and leave out an absent option', () => {
    expect(parse('--count', '5').opts()).to.deep.include({ count: 5 })
    expect(parse().opts()).to.not.have.property('count')
  })
})
