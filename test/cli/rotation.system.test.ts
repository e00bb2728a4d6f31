import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { expect } from 'chai'
import { TestAuthority } from '../support/certificates.js'
import { type Child, Children } from './child.js'

const CLIENTS = 8

describe('certificates and tokens are changed without a restart, under load', () => {
  const children = new Children()
  const authority = new TestAuthority()
  let folder: string
  let child: Child
  let port: number
  let generation = 0

  /** As Kubernetes does it: a new folder, and a link that is replaced in one step. */
  function write(tokens: readonly string[]): void {
    const next = String(++generation)
    mkdirSync(join(folder, next))
    const { cert, key } = authority.issue({ commonName: `gateway ${next}`, alternativeNames: ['DNS:localhost'] })
    const hashes = tokens.map(token => ({
      principal: 'shop',
      sha256: createHash('sha256').update(token).digest('hex')
    }))
    const files = { 'cert.pem': cert, 'key.pem': key, 'tokens.json': JSON.stringify(hashes) }
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, next, name), text)
    symlinkSync(next, join(folder, 'new'))
    renameSync(join(folder, 'new'), join(folder, 'data'))
  }

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'castellan-rotation-'))
    write(['one'])
    child = children.start(['serve', '--port', '0', '--management-port', '0', '--embedded-port', '0'], {
      CASTELLAN_HTTP_TLS_CERT_FILE: join(folder, 'data/cert.pem'),
      CASTELLAN_HTTP_TLS_KEY_FILE: join(folder, 'data/key.pem'),
      CASTELLAN_AUTH_TOKENS_FILE: join(folder, 'data/tokens.json'),
      CASTELLAN_ACCESS_RULES: JSON.stringify([{ principals: ['shop'], operations: ['produce'], topics: ['orders'] }])
    })
    port = Number((await child.line(/listening on https:\/\/127\.0\.0\.1:(\d+)/))[1])
  })
  afterEach(async () => {
    await children.stopAll()
    rmSync(folder, { recursive: true })
  })

  const post = (agent: Agent, token: string): Promise<string> =>
    new Promise(resolve => {
      const headers = { authorization: `Bearer ${token}` }
      const options = { agent, port, host: 'localhost', ca: authority.cert, path: '/arion/async/orders/k1', headers }
      const sent = request({ ...options, method: 'POST' }, response => {
        response.resume().once('end', () => resolve(String(response.statusCode)))
      })
      sent.once('error', error => resolve(error.message)).end('hello')
    })

  const certificate = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect({ port, host: 'localhost', ca: authority.cert }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN))
        socket.destroy()
      })
      socket.once('error', reject)
    })

  async function reload(tokens: readonly string[]): Promise<void> {
    write(tokens)
    child.process.kill('SIGHUP')
    while ((await certificate()) !== `gateway ${generation}`) await new Promise(setImmediate)
  }

  it('no request fails, new connections get the new certificate, and a token that is gone is refused', async () => {
    const answers: string[] = []
    let token = 'one'
    let isOver = false
    const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
    const load = Array.from({ length: CLIENTS }, async (_, client) => {
      // Half of the clients open a connection for each request.
      while (!isOver) answers.push(await post(client % 2 === 0 ? agent : new Agent(), token))
    })
    const more = async (): Promise<void> => {
      const until = answers.length + 200
      while (answers.length < until) await new Promise(setImmediate)
    }
    try {
      await more()
      expect(await certificate()).to.equal('gateway 1')
      await reload(['one', 'two'])
      await more()
      token = 'two'
      await more()
      await reload(['two'])
      await more()
    } finally {
      isOver = true
      await Promise.all(load)
    }
    expect(answers.filter(answer => answer !== '202')).to.deep.equal([])
    expect(await post(agent, 'one')).to.equal('401')
    agent.destroy()
  })
})
