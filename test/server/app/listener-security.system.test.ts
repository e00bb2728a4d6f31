import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { stringify } from 'yaml'
import { Children, Gateway } from '../../cli/child.js'
import { call, makeToken, push, TestAuthority, TestFolder } from '../../support/access.js'

describe('castellan as a process with TLS and credentials', function () {
  this.timeout(120_000)
  const children = new Children()
  const folder = new TestFolder()
  afterEach(() => children.stopAll())
  after(() => folder.remove())

  it('reads certificates again on SIGHUP and goes on', async () => {
    const authority = new TestAuthority()
    const write = (commonName: string): string => {
      const { cert, key } = authority.issue({ commonName, alternativeNames: ['IP:127.0.0.1'] })
      folder.write('key.pem', key)
      return folder.write('cert.pem', cert)
    }
    const certFile = write('one')
    const tls = { certFile, keyFile: `${folder.path}/key.pem` }
    const auditFile = `${folder.path}/audit.log`
    const settings = {
      advanced: { http: { tls: { reloadIntervalMs: 3_600_000 } } },
      http: { tls },
      embedded: { port: 0 },
      access: { audit: 'all', auditFile }
    }
    const config = folder.write('castellan.yaml', stringify(settings))
    const child = children.start(['serve', '--port', '0', '--management-port', '0', '--config', config])
    const [, url] = await child.line(/listening on (https:\/\/[0-9.:]+)/)
    const ca = authority.cert
    expect((await push(url!, 'orders', { ca })).status).to.be.oneOf([200, 500])
    write('two')
    child.process.kill('SIGHUP')
    await child.line(/the changed files of http\.tls are in use/)
    expect((await call(url!, { ca })).status).to.equal(200)
    expect(await child.stop()).to.equal(0)
    expect(child.stderr).to.equal('')
    expect(readFileSync(auditFile, 'utf8')).to.contain('"operation":"produce"')
  })

  it('does not start with a certificate that is missing, and says which setting to change', async () => {
    const child = children.start([
      'serve',
      '--port',
      '0',
      '--set',
      'http.tls.certFile=/missing.pem',
      '--set',
      'http.tls.keyFile=/missing.pem'
    ])
    expect(await child.exit()).to.equal(2)
    expect(child.stderr).to.equal(
      'castellan serve: http.tls.caFile: cannot read /missing.pem (ENOENT)\n'.replace('caFile', 'certFile')
    )
  })

  it('listens where others can reach it once clients have to say who they are', async () => {
    const { sha256, token } = makeToken()
    const tokens = folder.write('tokens.json', JSON.stringify([{ principal: 'shop', sha256 }]))
    const rules = JSON.stringify([{ principals: ['shop'], operations: ['produce', 'management'], topics: ['orders'] }])
    const environment = { CASTELLAN_AUTH_TOKENS_FILE: tokens, CASTELLAN_ACCESS_RULES: rules }
    const gateway = await Gateway.start(
      children,
      ['--host', '0.0.0.0', '--embedded-port', '0', '--set', 'apis.kprf.messageTimeoutMs=30000'],
      environment
    )
    const url = gateway.url.replace('0.0.0.0', '127.0.0.1')
    expect((await push(url, 'orders')).status).to.equal(401)
    expect((await push(url, 'orders', { headers: { authorization: `Bearer ${token}` } })).status).to.equal(200)
    expect(gateway.child.lines.join('\n')).to.contain('http.host is 0.0.0.0 without TLS: credentials can be read')
    expect(await gateway.child.stop()).to.equal(0)
  })
})
