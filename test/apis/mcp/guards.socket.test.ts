import { expect } from 'chai'
import { call } from '../../support/access.js'
import { McpGateway } from './stage.js'

const ISSUER = 'https://login.example.com/'
const RESOURCE = 'https://gateway.example/mcp'
const HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
const LIST = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'

describe('POST /mcp', () => {
  let gateway: McpGateway | undefined
  const open = async (...settings: Parameters<typeof McpGateway.open>): Promise<McpGateway> => {
    gateway = await McpGateway.open(...settings)
    return gateway
  }
  afterEach(async () => {
    await gateway?.close()
    gateway = undefined
  })

  /** The status of a request for a host. */
  const asked = async (at: string, path: string, host: string): Promise<number> => {
    const headers = { ...HEADERS, host, 'content-length': String(LIST.length) }
    return (await call(`${at}${path}`, { method: 'POST', body: LIST, headers })).status
  }

  it('needs a known host also where other routes take any', async () => {
    const { app } = await open({ port: 0 }, { http: { port: 0, host: '0.0.0.0', allowAnonymous: true } })
    const at = app.urls.shared.replace('0.0.0.0', '127.0.0.1')
    const own = app.urls.apis.get('mcp')!.replace('0.0.0.0', '127.0.0.1')
    expect(await asked(at, '/mcp', 'evil.example')).to.equal(403)
    expect(await asked(own, '/', 'evil.example')).to.equal(403)
    expect(await asked(at, '/kprf/push', 'evil.example')).not.to.equal(403)
    expect(await asked(at, '/mcp', 'localhost')).to.equal(200)
    expect(await asked(own, '/', '127.0.0.1')).to.equal(200)
  })

  it('takes hosts that http.allowedHosts names', async () => {
    const allowed = { port: 0, host: '0.0.0.0', allowAnonymous: true, allowedHosts: ['castellan.tools.svc'] }
    const { app } = await open({}, { http: allowed })
    const at = app.urls.shared.replace('0.0.0.0', '127.0.0.1')
    expect(await asked(at, '/mcp', 'castellan.tools.svc')).to.equal(200)
    expect(await asked(at, '/mcp', 'evil.example')).to.equal(403)
  })

  const issuers = [{ issuer: ISSUER, audience: RESOURCE, jwksUrl: 'http://127.0.0.1:9/jwks' }]

  it('says without credentials who gives tokens for it, and where that is said', async () => {
    const { app, url } = await open({ url: RESOURCE }, { auth: { issuers } })
    for (const path of ['', '/mcp']) {
      const answer = await fetch(`${app.urls.shared}/.well-known/oauth-protected-resource${path}`)
      expect([answer.status, await answer.json()]).to.deep.equal([
        200,
        {
          resource: RESOURCE,
          authorization_servers: [ISSUER],
          bearer_methods_supported: ['header'],
          resource_name: 'Castellan'
        }
      ])
    }
    const refused = await fetch(url, { method: 'POST', headers: HEADERS, body: LIST })
    expect(refused.status).to.equal(401)
    expect(refused.headers.get('www-authenticate')).to.equal(
      'Bearer resource_metadata="https://gateway.example/.well-known/oauth-protected-resource/mcp", realm="castellan"'
    )
    expect(await refused.json()).to.deep.include({ jsonrpc: '2.0', id: null })
  })

  it('says nothing of it without issuers', async () => {
    const { app, url } = await open(
      { url: RESOURCE },
      { auth: { tokens: [{ principal: 'a', sha256: 'ab'.repeat(32) }] }, access: { rules: [] } }
    )
    const path = '/.well-known/oauth-protected-resource'
    expect((await fetch(`${app.urls.shared}${path}`)).status).to.equal(401)
    const refused = await fetch(url, { method: 'POST', headers: HEADERS, body: LIST })
    expect(refused.headers.get('www-authenticate')).to.equal('Bearer realm="castellan"')
  })
})
