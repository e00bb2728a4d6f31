import { createHash } from 'node:crypto'
import { createServer } from 'node:net'
import { PassThrough, Readable } from 'node:stream'
import { expect } from 'chai'
import { commands } from '../../src/cli/cli.js'
import type { CommandDescription } from '../../src/cli/command.js'
import { version } from '../../src/cli/version.js'
import { parsePasswordHash, verifyPassword } from '../../src/http/access/stored-credentials.js'
import { checkRows } from '../support/rows.js'
import { walDirectoryOf } from '../support/wal-directory.js'
import { type Outcome, runCommand } from './run-command.js'

const castellan = (
  args: string[],
  environment: Record<string, string> = {},
  crashed: Promise<unknown> = new Promise(() => undefined),
  stdin: readonly string[] = []
): Promise<Outcome> => runCommand(args, { environment, crashed, stdin: Readable.from(stdin) })

/** For gateways that start. */
const ownLog = { CASTELLAN_WAL_DIRECTORY: walDirectoryOf('apps') }

describe('castellan', () => {
  describe('--help', () => {
    it('lists the commands with examples', async () => {
      for (const args of [['--help'], ['-h'], ['help']]) {
        const { code, stdout, stderr } = await castellan(args)
        expect([code, stderr]).to.deep.equal([0, ''])
        for (const command of ['serve', 'read', 'topics', 'broker']) {
          expect(stdout).to.match(new RegExp(`^  ${command} +\\w`, 'm'))
          expect(stdout).to.match(new RegExp(`^  castellan ${command}`, 'm'))
        }
        expect(stdout).to.match(/Exit codes: 0 .*1 .*2 /)
      }
    })

    for (const command of ['serve', 'read', 'topics', 'broker', 'completion']) {
      it(`of ${command} tells every flag and gives examples that can be read`, async () => {
        const { code, stdout } = await castellan([command, '--help'])
        expect(code).to.equal(0)
        expect(stdout).to.equal((await castellan(['help', command])).stdout)
        expect(stdout).to.match(/^Flags:$/m)
        const examples = [...stdout.matchAll(/^ {2}(?:[A-Z_]+=\S+ |source <\()?castellan (\S+)(.*)$/gm)]
        expect(examples.length).to.be.greaterThan(1)
        for (const [, name, rest] of examples) {
          expect(name).to.equal(command)
          for (const [flag] of rest!.matchAll(/--[a-z-]+/g))
            expect(stdout).to.match(new RegExp(`^ .*${flag}( <|  )`, 'm'))
        }
      })
    }

    it('is shown by help for a command below a command', async () => {
      const { stdout } = await castellan(['help', 'wal', 'verify'])
      expect(stdout).to.match(/^Usage: castellan wal verify /)
      expect(await castellan(['wal', 'help', 'verify'])).to.deep.equal({ code: 0, stdout, stderr: '' })
    })

    it('of every command fits 100 columns in a window of any width', async () => {
      const namesIn = (all: readonly CommandDescription[], path: readonly string[] = []): string[][] =>
        all.flatMap(({ name, commands: below = [] }) => [[...path, name], ...namesIn(below, [...path, name])])
      const names = namesIn(commands)
      expect(names.map(name => name.join(' '))).to.include.members(['wal salvage', 'topics create', 'kafka-pixy'])
      for (const columns of [undefined, 100, 250])
        for (const name of [[], ...names]) {
          const stdout = Object.assign(new PassThrough(), { columns }) as unknown as NodeJS.WriteStream
          expect((await runCommand([...name, '--help'], { stdout })).code).to.equal(0)
          const lines = String(stdout.read()).split('\n')
          expect(lines.length, name.join(' ')).to.be.greaterThan(5)
          expect(lines.filter(line => line.length > 100)).to.deep.equal([])
        }
    })

    it('is there for what serve does without its name', async () => {
      expect((await castellan(['--port', '1', '--help'])).stdout).to.match(/^Usage: castellan serve /)
    })
  })

  it('tells its version', async () => {
    for (const args of [['--version'], ['version'], ['read', '--version']]) {
      expect(await castellan(args)).to.deep.equal({ code: 0, stdout: `${version()}\n`, stderr: '' })
    }
    expect(version()).to.match(/^\d+\.\d+\.\d+/)
  })

  it('guesses which setting was meant', async () => {
    const problems: [string[], string][] = [
      [['--set', 'http.prot=1'], '--set http.prot: there is no setting http.prot; did you mean port?'],
      [['--set', 'embedded=2'], '--set embedded: embedded has settings of its own, such as embedded.enabled'],
      [['--set', 'htpp.port=1'], '--set htpp.port: there is no setting htpp.port; did you mean http.port?'],
      [['--set', 'clusters.eu.broker=a:1'], 'there is no setting clusters.eu.broker; did you mean brokers?']
    ]
    for (const [args, problem] of problems) {
      const { code, stderr } = await castellan(args)
      expect(code).to.equal(2)
      expect(stderr)
        .to.match(/^castellan serve: .*\n$/)
        .and.to.contain(problem)
    }
    const { stderr } = await castellan([], { CASTELLAN_HTTP_PROT: '1' })
    expect(stderr).to.equal(
      'castellan serve: CASTELLAN_HTTP_PROT: no such setting; did you mean CASTELLAN_HTTP_PORT?\n'
    )
  })

  it('says of workers, in every form, that one process is one gateway', async () => {
    const forms: readonly (readonly [args: readonly string[], environment: Record<string, string>])[] = [
      [['--workers', '1'], {}],
      [['serve', '--workers=auto'], {}],
      [['--set', 'workers.count=1'], {}],
      [['--set', 'advanced.workers.restartPauseMs=100'], {}],
      [[], { CASTELLAN_WORKERS_COUNT: '1' }],
      [[], { CASTELLAN_ADVANCED_WORKERS_RESTART_PAUSE_MS: '100' }]
    ]
    for (const [args, environment] of forms) {
      const { code, stderr } = await castellan([...args], environment)
      expect(code, stderr).to.equal(2)
      expect(stderr)
        .to.match(/^castellan serve: .*workers.*\n/i)
        .and.to.contain('one process is one gateway; for several cores start several gateways')
    }
  })

  it('shows which arguments may be left out', async () => {
    const usages: [string[], RegExp][] = [
      [['read'], /^Usage: castellan read TOPIC \[FLAGS\]\n/],
      [['groups', 'list'], /^Usage: castellan groups list \[GROUP\] \[FLAGS\]\n/],
      [['topics'], /^Usage: castellan topics \[COMMAND\] \[FLAGS\]\n/],
      [['topics', 'delete'], /^Usage: castellan topics delete TOPIC… \[FLAGS\]\n/],
      [['wal'], /^Usage: castellan wal COMMAND \[FLAGS\]\n/],
      [['wal', 'discard'], /^Usage: castellan wal discard \[SEQUENCE…\] \[FLAGS\]\n/]
    ]
    for (const [args, usage] of usages) expect((await castellan([...args, '--help'])).stdout).to.match(usage)
  })

  describe('what was written', () => {
    it('is repeated without control characters, in one line', async () => {
      const hostile = 'a\u001b[2J\u009b\nb'
      const commands = [
        [hostile],
        ['serve', hostile],
        [`--${hostile}`],
        ['read', 'x', '--format', hostile],
        ['read', 'x', '--cluster', 'constructor'],
        ['read', 'x', '--cluster', '__proto__', '--brokers', 'a:1']
      ]
      for (const args of commands) {
        const { code, stderr } = await castellan(args)
        expect(code).to.equal(2)
        expect(stderr).to.match(/^castellan.*: .*\n(castellan .*\n)?$/)
        expect(stderr).to.not.match(/(?!\n)\p{Cc}/u)
        expect(stderr).to.not.contain('this is a bug')
      }
    })

    it('is not repeated where it may be a secret', async () => {
      for (const args of [
        ['--set', 'clusters.default.sasl.password:hush'],
        ['--set', 'clusters.default.sasl.pasword=hush'],
        ['--brokers', 'me:hush@kafka:9092'],
        ['read', 'x', '-b', 'me:hush@kafka:9092']
      ]) {
        const { code, stderr } = await castellan(args)
        expect(code).to.equal(2)
        expect(stderr).to.not.contain('hush')
      }
    })
  })

  describe('a wrong command line', () => {
    const cases: [string[], string][] = [
      [['sreve'], 'castellan: unknown command sreve; did you mean serve?; there are serve, '],
      [['--prot', '1'], 'castellan serve: unknown flag --prot; did you mean --port?'],
      [['serve', '--http.port', '1'], 'castellan serve: unknown flag --http.port; did you mean --port?'],
      [['--wal.fsync=5'], 'castellan serve: unknown flag --wal.fsync; settings are given as --set wal.fsync=VALUE'],
      [['serve', 'now'], 'castellan serve: too many arguments: expected 0, got 1'],
      [['read'], 'castellan read: TOPIC is missing, for example: castellan read orders'],
      [['read', 'a', '--from', 'x'], 'castellan read: --from takes earliest, latest,'],
      [['read', 'a', '--format', 'xml'], 'castellan read: --format takes value, key-value, json, not "xml"'],
      [['read', 'a', '--partition', '1,x'], 'castellan read: --partition takes numbers such as 0,2, not "1,x"'],
      [['read', 'a', '--count', '0'], 'castellan read: --count takes a whole number of at least 1, not "0"'],
      [['read', 'a', '--cluster', 'eu'], 'castellan read: there is no cluster eu; the only one is default'],
      [['help', 'sreve'], 'castellan: unknown command sreve; did you mean serve?'],
      [['sreve', '--help'], 'castellan: unknown command sreve; did you mean serve?'],
      [['broker', '--directory', 'x'], 'castellan broker: unknown flag --directory; did you mean --dir?'],
      [['completion', 'csh'], 'castellan completion: SHELL is bash, zsh, fish, not "csh"'],
      [['read', ''], 'castellan read: TOPIC is empty, for example: castellan read orders'],
      [
        ['topics', '--cluster', 'nope', '-b', 'a:1'],
        'castellan topics list: there is no cluster nope; the only one is default'
      ],
      [['topics', '--cluster', 'defualt'], 'castellan topics list: there is no cluster defualt; did you mean default?'],
      [['topics', '--format', 'xml'], 'castellan topics list: --format takes table, json, not "xml"'],
      [
        ['pixy', 'consume', 'a', 'b'],
        'castellan: unknown command pixy: castellan write TOPIC produces, castellan read '
      ],
      [['help', 'pixy'], 'castellan: unknown command pixy: castellan write TOPIC produces, '],
      [
        ['topics', 'creat', 'a'],
        'castellan topics: unknown command creat; did you mean create?; there are list, create, '
      ],
      [['wal', 'sl', '--help'], 'castellan wal: unknown command sl; did you mean ls?; there are ls, verify, '],
      [['wal', 'pixy'], 'castellan wal: unknown command pixy; there are ls, verify, '],
      [['help', 'wal', 'sl'], 'castellan wal: unknown command sl; did you mean ls?; there are ls, verify, '],
      [['--port', '1', 'serve'], 'castellan serve: a command comes before its flags: castellan serve [FLAGS]'],
      [
        ['topics', '-b', 'a:1', 'create', 'a'],
        'castellan topics list: a command comes before its flags: castellan topics create [FLAGS]'
      ],
      [['read', 'a', 'write'], 'castellan read: too many arguments: expected 1, got 2'],
      [['write', 'a', '--addr', 'http://g'], 'castellan write: unknown flag --addr; did you mean --gateway?'],
      [['receipt', 'a', '-a', 'http://g'], 'castellan receipt: unknown flag -a; did you mean --gateway?'],
      [['receipt', 'a', '--url=http://g'], 'castellan receipt: unknown flag --url; did you mean --gateway?'],
      [
        ['read', 'a', '--gateway', 'http://g'],
        'castellan read: unknown flag --gateway; this command asks Kafka, by --brokers; a gateway is asked by castellan write and castellan receipt'
      ],
      ...[['read'], ['write'], ['topics', 'create'], ['topics', 'delete', 'good']].flatMap(words =>
        ['my topic', 'orders*', '..', 'ü', 'x'.repeat(250)].map((name): [string[], string] => [
          [...words, name],
          `castellan ${words.slice(0, 2).join(' ')}: TOPIC is 1 to 249 of the characters a-z, A-Z, 0-9, ".", "_" and "-", not "${name}"`
        ])
      )
    ]
    it('each mistake is told in a line and has exit code 2', () =>
      checkRows(cases, async ([args, message]) => {
        const { code, stdout, stderr } = await castellan(args)
        expect([code, stdout]).to.deep.equal([2, ''])
        const lines = stderr.trimEnd().split('\n')
        expect(lines).to.have.length(2)
        expect(lines[0]!.startsWith(message), lines[0]).to.equal(true)
        expect(lines[1]).to.match(/ --help shows the usage$/)
      }))

    it('shows where an error comes from with --debug only', async () => {
      expect((await castellan(['--prot'])).stderr).to.not.match(/\n +at /)
      expect((await castellan(['--prot', '--debug'])).stderr).to.match(/\n +at /)
    })
  })

  describe('a configuration that cannot be', () => {
    it('is refused with one line per problem and exit code 2', async () => {
      const { code, stderr } = await castellan(['--port', 'x', '--host', ''], { CASTELLAN_NOPE: '1' })
      expect(code).to.equal(2)
      expect(stderr.trimEnd().split('\n')).to.deep.equal([
        'castellan serve: --host needs a value',
        'castellan serve --help shows the usage'
      ])
      const second = await castellan(['--port', 'x'], { CASTELLAN_NOPE: '1' })
      expect(second.stderr.trimEnd().split('\n')).to.deep.equal([
        'castellan serve: CASTELLAN_NOPE: no such setting',
        'castellan serve: http.port: expected integer, got "x" (--port)'
      ])
    })

    it('warns of secrets on the command line, without repeating them, and of nothing else', async () => {
      const secret = 'clusters.default.sasl.password'
      const args = [
        'topics',
        '--set',
        `${secret}=hunter2`,
        '--set',
        'http.port=0',
        '--set',
        'auth.tokens=[{"token":"hunter2"}]'
      ]
      const { stderr } = await castellan([...args, '--brokers', 'nonsense'])
      const warned = stderr.split('\n').filter(line => line.includes('warning: '))
      expect(warned.map(line => line.split(' is a secret')[0])).to.deep.equal([
        `castellan topics list: warning: ${secret}`,
        'castellan topics list: warning: auth.tokens'
      ])
      expect(warned[0]).to.contain('use CASTELLAN_CLUSTERS_DEFAULT_SASL_PASSWORD_FILE, CASTELLAN_')
      expect(warned.join()).to.not.contain('hunter2')
    })

    it('includes the embedded broker in production, and addresses of others without authentication', async () => {
      const production = await castellan([], { NODE_ENV: 'production' })
      expect([production.code, production.stderr.split('\n').length]).to.deep.equal([2, 2])
      expect(production.stderr).to.match(/NODE_ENV is production; name them with --brokers .*--embedded/)
      const open = await castellan(['--host', '0.0.0.0'])
      expect(open.code).to.equal(2)
      expect(open.stderr).to.match(/--allow-anonymous/)
    })
  })

  describe('--print-config', () => {
    it('prints what is in effect, without secrets', async () => {
      const { code, stdout } = await castellan(
        [
          '--print-config',
          '--brokers',
          'a:1,b:2',
          '--management-port',
          'off',
          '--set',
          'delivery.timeoutMs=5',
          '--log-level',
          'warn'
        ],
        {
          CASTELLAN_HTTP_PORT: '9000',
          CASTELLAN_CLUSTERS_DEFAULT_SASL_MECHANISM: 'plain',
          CASTELLAN_CLUSTERS_DEFAULT_SASL_USERNAME: 'me',
          CASTELLAN_CLUSTERS_DEFAULT_SASL_PASSWORD: 'hush'
        }
      )
      expect(code).to.equal(0)
      expect(stdout).to.match(/^http:\n( {2}.*\n)* {2}port: 9000 # CASTELLAN_HTTP_PORT\n/)
      expect(stdout).to.contain('    brokers:\n      # --brokers\n      - a:1\n      - b:2\n')
      expect(stdout).to.contain('  port: off # --management-port\n')
      expect(stdout).to.contain('  timeoutMs: 5 # --set delivery.timeoutMs\n')
      expect(stdout).to.contain('level: warn # --log-level\n')
      expect(stdout).to.contain('password: (secret) # CASTELLAN_CLUSTERS_DEFAULT_SASL_PASSWORD\n')
      expect(stdout).to.not.contain('hush')
    })
  })

  describe('an uncaught error', () => {
    const bug = Promise.resolve(new TypeError('a bug'))

    it('ends a command at once, with exit code 1', async () => {
      const { code, stderr } = await castellan(['topics', '--brokers', '127.0.0.1:1', '--timeout', '1'], {}, bug)
      expect(code).to.equal(1)
      expect(stderr).to.contain('castellan topics list: a bug\nthis is a bug; --debug shows where it happened\n')
    })

    it('stops the gateway in order, with exit code 1', async () => {
      const ports = ['--port', '0', '--management-port', '0', '--embedded-port', '0', '--log-level', 'silent']
      expect(await castellan(['serve', ...ports], ownLog, bug)).to.deep.equal({ code: 1, stdout: '', stderr: '' })
    })
  })

  it('names a port that is taken, and the flag to change it, with exit code 1', async () => {
    const other = createServer()
    await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
    const { port } = other.address() as { port: number }
    const free = ['--embedded-port', '0', '--log-level', 'silent']
    try {
      const cases: [string[], string][] = [
        [['serve', '--port', `${port}`, '--management-port', '0', ...free], '--port (http.port)'],
        [['serve', '--port', '0', '--management-port', `${port}`, ...free], '--management-port (management.port)'],
        [
          ['serve', '--port', '0', '--management-port', '0', '--embedded-port', `${port}`, '--log-level', 'silent'],
          '--embedded-port (embedded.port)'
        ],
        [['broker', '--port', `${port}`], '--port (embedded.port)']
      ]
      for (const [args, flag] of cases) {
        const { code, stderr } = await castellan(args, ownLog)
        expect([code, stderr.split('\n').length], stderr).to.deep.equal([1, 2])
        expect(stderr).to.contain(`port ${port} on 127.0.0.1 is taken; choose another`)
        expect(stderr).to.contain(`with ${flag} (0 means any free one)`)
      }
    } finally {
      other.close()
    }
  })
})

describe('castellan token and castellan password', () => {
  it('make a token that its hash belongs to, another one every time', async () => {
    const made = [await castellan(['token']), await castellan(['token'])].map(({ stdout }) => stdout)
    expect(made[0]).to.match(/^token {3}castellan_[\w-]{43}\nsha256 {2}[0-9a-f]{64}\n$/)
    expect(made[0]).to.not.equal(made[1])
    const [, token, hash] = made[0]!.match(/^token +(\S+)\nsha256 +(\S+)/)!
    expect(createHash('sha256').update(token!).digest('hex')).to.equal(hash)
  })

  it('make a hash of the first line of stdin that the configuration takes', async () => {
    const { code, stdout } = await castellan(['password'], {}, undefined, ['right: \u00fc\r\nnot this'])
    expect(code).to.equal(0)
    expect(stdout).to.match(/^\$scrypt\$ln=15,r=8,p=1\$[\w+/]{22}\$[\w+/]{43}\n$/)
    const hash = parsePasswordHash(stdout.trim())
    expect(await verifyPassword('right: \u00fc', hash)).to.equal(true)
    expect(await verifyPassword('right: \u00fc\r', hash)).to.equal(false)
  })

  it('refuse a password that is empty', async () => {
    const { code, stderr } = await castellan(['password'], {}, undefined, ['\n'])
    expect([code, stderr.split('\n')[0]]).to.deep.equal([
      2,
      'castellan password: the password is empty; it is read from stdin'
    ])
  })
})
