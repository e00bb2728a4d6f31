import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { loadConfig, openCastellan } from '../../../src/index.js'
import { connectionOf } from '../../../src/server/app/kafka.js'
import { mskToken, tokenInFile, tokenOfCommand } from '../../../src/server/config/tokens.js'
import { onBroker } from '../../support/stage.js'

const failureOf = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => expect.fail('there is a token'),
    error => error as Error
  )

describe('Kafka with tokens of a file or a command', () => {
  let directory: string
  /** What brokers let in. */
  const tokens = new Set<string>()
  const stage = onBroker({ nodes: 2, sasl: { tokens } })
  before(() => {
    directory = stage.folder()
  })
  beforeEach(() => tokens.clear())

  const script = (text: string): string => {
    const path = join(directory, 'token-of-cloud')
    writeFileSync(path, `#!/bin/sh\n${text}\n`)
    chmodSync(path, 0o755)
    return path
  }
  /** Connects to both nodes, by as many logins. */
  const logins = (sasl: string) => {
    const yaml = `clusters: {default: {brokers: ["a:1"], connectTimeoutMs: 15000, sasl: {mechanism: oauthbearer, ${sasl}}}}`
    const file = join(directory, 'castellan.yaml')
    writeFileSync(file, yaml)
    const connection = connectionOf('default', loadConfig({ file, environment: {} }).clusters.default!)
    return async (): Promise<void> => {
      const castellan = await openCastellan({ brokers: stage.bootstrap, connection })
      try {
        await Promise.all(stage.cluster.nodes.map(node => castellan.createClient(node, 'test').connect()))
      } finally {
        await castellan.close({ timeoutMs: 0 })
      }
    }
  }

  it('reads the file again at each login', async () => {
    const path = join(directory, 'token')
    const logIn = logins(`tokenPath: ${path}`)
    for (const token of ['first', 'second']) {
      writeFileSync(path, `${token}\n`)
      tokens.clear()
      tokens.add(token)
      await logIn()
    }
  })

  it('runs the command once for many logins, and again when the token was refused', async () => {
    const runs = join(directory, 'runs')
    const logIn = logins(`tokenCommand: [${script(`echo run >> ${runs}; echo token-of-$1`)}, gateway]`)
    const countOf = (): number => readFileSync(runs, 'utf8').split('\n').length - 1
    tokens.add('token-of-gateway')
    await logIn()
    await logIn()
    expect(countOf()).to.equal(1)
    tokens.clear()
    expect((await failureOf(logIn())).message).to.include('refuses')
    tokens.add('token-of-gateway')
    await logIn()
    expect(countOf()).to.equal(2)
  })

  it('keeps a token of a command until it ends', async () => {
    const web = (exp: number): string =>
      ['{}', JSON.stringify({ exp }), 'signature'].map(part => Buffer.from(part).toString('base64url')).join('.')
    const nowS = Math.floor(Date.now() / 1_000)
    const lasting = await tokenOfCommand([script(`echo ${web(nowS + 600)}`)])
    expect(lasting.token).to.equal(web(nowS + 600))
    expect(lasting.lifetimeMs).to.be.within(500_000, 600_000)
    expect(await tokenOfCommand([script('printf opaque')])).to.deep.equal({ token: 'opaque', lifetimeMs: 300_000 })
    expect((await failureOf(tokenOfCommand([script(`echo ${web(nowS - 1)}`)]))).message).to.equal(
      'no token from token-of-cloud: its token has expired'
    )
  })

  it('says in a line why there is no token, without repeating anything secret', async () => {
    const commands: readonly (readonly [string, RegExp])[] = [
      ['echo hush; echo "log in first\nby gcloud" >&2; exit 3', /token-of-cloud: it ended with 3: log in first$/],
      ['echo hush hush', /token-of-cloud: it is no token$/],
      ['true', /token-of-cloud: it is empty$/],
      ['yes hush', /token-of-cloud: it ended with ERR_CHILD_PROCESS_STDIO_MAXBUFFER$/]
    ]
    for (const [text, problem] of commands) {
      const { message } = await failureOf(tokenOfCommand([script(text)]))
      expect(message).to.match(problem).and.not.include('hush')
    }
    expect((await failureOf(tokenOfCommand(['/no/such/program']))).message).to.include('program: it ended with ENOENT')
    expect((await failureOf(tokenInFile('/no/such/file'))).message).to.include('file: the file cannot be read (ENOENT)')
    expect((await failureOf(tokenInFile(directory))).message).to.match(/^no token from castellan-stage-\w+: EISDIR/)
    writeFileSync(join(directory, 'token'), 'hush hush')
    expect((await failureOf(tokenInFile(join(directory, 'token')))).message).to.equal(
      'no token from token: it is no token'
    )
  })

  it('asks the package of MSK, and says how to install it', async () => {
    const asked: unknown[] = []
    const expiryTime = Date.now() + 900_000
    const generateAuthToken = async (options: object) => {
      asked.push(options)
      return { token: 'signed', expiryTime }
    }
    const { token, lifetimeMs } = await mskToken('eu-west-1', async () => ({ generateAuthToken }))
    expect([token, asked]).to.deep.equal(['signed', [{ region: 'eu-west-1' }]])
    expect(lifetimeMs).to.be.within(800_000, 900_000)
    expect((await failureOf(mskToken('eu-west-1'))).message).to.match(
      /^no token from aws-msk-iam-sasl-signer-js: the package cannot be loaded; npm install aws-msk-iam-sasl-signer-js \(/
    )
    const failing = async () => Promise.reject(new Error('Could not load credentials from any providers'))
    expect((await failureOf(mskToken('a', async () => ({ generateAuthToken: failing })))).message).to.equal(
      'no token from aws-msk-iam-sasl-signer-js: Could not load credentials from any providers'
    )
  })
})
