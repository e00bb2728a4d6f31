import { expect } from 'chai'
import { Children, Gateway } from '../../cli/child.js'

/** Says of each package of the protocol that it is loaded. */
const TELLS = `import { register } from 'node:module'
register('data:text/javascript,' + encodeURIComponent(
  'export async function load(url, context, next) {' +
  'if (url.includes("@modelcontextprotocol")) process._rawDebug("LOADED " + url);' +
  'return next(url, context) }'))`

describe('The tools for agents', function () {
  this.timeout(60_000)
  const children = new Children()
  afterEach(() => children.stopAll())

  const start = (isOn: boolean): Promise<Gateway> =>
    Gateway.start(children, ['--embedded', '--embedded-port', '0', '--set', `apis.mcp.enabled=${isOn}`], {
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(TELLS)}`
    })

  it('load nothing of the protocol where they are off, also when a record is pushed', async () => {
    const gateway = await start(false)
    const { status } = await gateway.push({ records: [{ topic: 'orders', data: 'x' }], wait_for_send: true })
    expect([status, gateway.child.stderr.match(/LOADED/g)]).to.deep.equal([200, null])
  })

  it('have loaded it at the start where they are on', async () => {
    const gateway = await start(true)
    expect(gateway.child.stderr).to.include('LOADED')
  })
})
