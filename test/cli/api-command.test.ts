import { PassThrough, Readable } from 'node:stream'
import { expect } from 'chai'
import type { Command } from 'commander'
import { parse } from 'yaml'
import type { ApiCommand, ForeignConfiguration, Translation } from '../../src/apis/api-command.js'
import { apiCommands } from '../../src/apis/api-commands.js'
import { apis } from '../../src/apis/apis.js'
import { toProgram } from '../../src/cli/cli.js'
import type { Process } from '../../src/cli/command.js'
import { commandsOfApis, describeApiCommand } from '../../src/cli/commands/api.js'
import { ConfigError } from '../../src/core/errors.js'
import { translateConfig } from '../../src/server/config/config.js'

describe('a command for the configuration of an imitated system', () => {
  let given: ForeignConfiguration | undefined
  let translation: Translation
  const command: ApiCommand = {
    name: 'kprf',
    summary: 'is tried',
    flags: [
      { flags: '-c, --config <FILE>', description: 'its own file' },
      { flags: '--quiet', description: 'says less' }
    ],
    notes: 'PORT is its port.',
    examples: ['castellan kprf --config kprf.yaml'],
    translate: foreign => {
      given = foreign
      return translation
    }
  }
  const described = describeApiCommand(command)
  beforeEach(() => {
    translation = { settings: [], notes: [] }
  })

  const run = async (args: readonly string[], environment: Record<string, string> = {}): Promise<string> => {
    let line: Command | undefined
    const stdout = new PassThrough()
    const process: Process = {
      environment,
      stdin: Readable.from([]),
      stdout: stdout as unknown as NodeJS.WriteStream,
      stderr: new PassThrough() as unknown as NodeJS.WriteStream,
      stopped: AbortSignal.abort(),
      crashed: new Promise(() => undefined),
      onHangUp: () => undefined
    }
    const outcomes = {
      run: async (_: unknown, parsed: Command): Promise<void> => {
        line = parsed
      },
      refuse: (_: unknown, message: string): never => expect.fail(message)
    }
    await toProgram([described], process, outcomes).parseAsync(['kprf', ...args], { from: 'user' })
    await described.run!(line!, process)
    return (stdout.read() as Buffer | null)?.toString() ?? ''
  }
  const printed = async (args: readonly string[] = [], environment: Record<string, string> = {}) =>
    parse(await run([...args, '--print-config'], environment)) as {
      readonly http: Record<string, unknown>
      readonly apis: Record<string, Record<string, unknown>>
    }
  const set = (path: string, value: unknown) => ({ path: path.split('.'), value, origin: 'PORT' })

  it('promises no default of `castellan serve` that it does not have', () => {
    for (const { name, options } of commandsOfApis) {
      const said = options.map(({ description }) => description).filter(text => /8080|none: the embedded/.test(text))
      expect(said, name).to.deep.equal([])
    }
  })

  it('is given its own flags, the environment and files', async () => {
    await run(['--config', 'kprf.yaml', '--quiet', '--port', '1', '--print-config'], { PORT: '4242' })
    expect([...given!.flags]).to.deep.equal([
      ['config', 'kprf.yaml'],
      ['quiet', true]
    ])
    expect(given!.environment).to.deep.equal({ PORT: '4242' })
    expect(() => given!.readFile('/no/such')).to.throw(ConfigError, 'cannot read /no/such (ENOENT)')
  })

  it("has Castellan's settings over it: environment and flags", async () => {
    translation = { settings: [set('apis.kprf.port', 4242), set('http.port', 1)], notes: [] }
    const { http, apis: found } = await printed(['--port', '3'], { CASTELLAN_HTTP_PORT: '2' })
    expect([http.port, found.kprf!.port]).to.deep.equal([3, 4242])
    expect(await run(['--print-config'])).to.include('    port: 4242 # PORT\n')
  })

  it('serves no other API', async () => {
    const { apis: found } = await printed()
    for (const { name } of apis) expect([name, found[name]!.enabled]).to.deep.equal([name, name === 'kprf'])
  })

  it('says what is wrong with what was translated, and where it comes from', async () => {
    translation = { settings: [set('apis.kprf.port', 'many')], notes: [] }
    await run([]).then(
      () => expect.fail('it ran'),
      error => expect((error as Error).message).to.equal('apis.kprf.port: expected integer, got "many" (PORT)')
    )
  })

  describe('an address that others can reach', () => {
    const open = (): void => {
      translation = {
        settings: [set('apis.kprf.host', '0.0.0.0'), set('apis.kprf.port', 0)],
        notes: ['a note']
      }
    }
    const free = ['--port', '0', '--management-port', 'off', '--embedded-port', '0', '--set', 'log.format=json']

    it('is taken back to loopback, which the notes tell', () => {
      open()
      const { config, notes, originOf } = translateConfig({}, translation, 'kprf')
      expect(config.apis.kprf.host).to.equal('127.0.0.1')
      expect(originOf(['apis', 'kprf', 'host'])).to.equal('PORT')
      expect(notes).to.deep.equal([
        'a note',
        'apis.kprf.host: listening on 127.0.0.1 instead of 0.0.0.0, because clients would need no credentials; configure authentication (auth), or allow it with --allow-anonymous'
      ])
    })

    it('stays where anonymous clients are allowed', async () => {
      open()
      const { apis: found } = await printed([...free, '--allow-anonymous'])
      expect(found.kprf!.host).to.equal('0.0.0.0')
    })

    it("is refused as ever where Castellan's own settings name it", async () => {
      open()
      await run([...free, '--set', 'apis.kprf.host=0.0.0.0']).then(
        () => expect.fail('it ran'),
        error => expect((error as Error).message).to.match(/^apis\.kprf\.host: 0\.0\.0\.0 can be reached/)
      )
    })
  })

  it('every one in the list belongs to an API', () => {
    const names: readonly string[] = apis.map(({ name }) => name)
    expect(apiCommands.map(({ name }) => name).filter(name => !names.includes(name))).to.deep.equal([])
  })
})
