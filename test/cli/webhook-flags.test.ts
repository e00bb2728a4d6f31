import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { webhookFlag, withWebhooks } from '../../src/cli/webhook-flags.js'
import { explainConfig } from '../../src/server/config/config.js'
import { runCommand } from './run-command.js'

describe('--webhook', () => {
  let directory: string
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-webhook-flags-'))
  })
  after(() => rmSync(directory, { recursive: true }))

  /** @returns what a start says, and the secrets that it has then */
  const start = async (texts: readonly string[], settings: Readonly<Record<string, string>>, isTried = false) => {
    const said: string[] = []
    const webhooks = texts.reduce<ReturnType<typeof webhookFlag>>((former, text) => webhookFlag(text, former), [])
    const flags = Object.entries(settings).map(([path, value]) => ({ flag: '--set', path: path.split('.'), value }))
    const sources = await withWebhooks({ flags, environment: {} }, webhooks, isTried, line => said.push(line))
    const { webhooks: read, webhookFiles } = explainConfig(sources).config
    return { said, secrets: webhookFiles!.secrets, definitions: read.definitions }
  }

  it('defines a webhook that is called as its topic, with a secret that it says', async () => {
    const { said, secrets, definitions } = await start(['Shop_Orders.1=http://127.0.0.1:9000/?a=b'], {})
    const { topic, url } = definitions['shop-orders-1']!
    expect([topic, url]).to.deep.equal(['Shop_Orders.1', 'http://127.0.0.1:9000/?a=b'])
    expect(said).to.deep.equal([`webhook shop-orders-1: its secret is ${secrets['shop-orders-1']}`])
  })

  it('makes another secret at each start where nothing is kept', async () => {
    const [first, second] = [await start(['a=http://h/'], {}), await start(['a=http://h/'], {})]
    expect(first.secrets).not.to.deep.equal(second.secrets)
  })

  for (const setting of ['embedded.directory', 'wal.directory'])
    it(`keeps the secret below ${setting}, for its owner alone, and says it at the first start only`, async () => {
      const at = join(directory, setting)
      const [first, second] = [
        await start(['a=http://h/'], { [setting]: at }),
        await start(['a=http://h/'], { [setting]: at })
      ]
      const path = join(at, 'webhooks', 'a.secret')
      expect(first.secrets).to.deep.equal(second.secrets)
      expect(first.said).to.deep.equal([`webhook a: its secret is ${first.secrets.a}, kept in ${path}`])
      expect(second.said).to.deep.equal([])
      expect(statSync(path).mode & 0o777).to.equal(0o600)
      expect(readFileSync(path, 'utf8')).to.equal(`${first.secrets.a}\n`)
    })

  it('keeps and says nothing where the configuration is only printed', async () => {
    const at = join(directory, 'printed')
    const { said } = await start(['a=http://h/'], { 'embedded.directory': at }, true)
    expect([said, statSync(at, { throwIfNoEntry: false })]).to.deep.equal([[], undefined])
  })

  it('makes no secret where the file of settings names one', async () => {
    const secretFile = join(directory, 'own.secret')
    const own = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
    writeFileSync(secretFile, own)
    const { said, secrets } = await start(['a=http://h/'], { 'webhooks.definitions.a.secretFile': secretFile })
    expect([said, secrets]).to.deep.equal([[], { a: [own] }])
  })

  it('is refused where two topics give one name, or a topic gives none', async () => {
    const refusals: readonly (readonly [args: readonly string[], text: string])[] = [
      [['a.b=http://h/', 'A-b=http://h/'], 'the topics a.b and A-b both give the name a-b'],
      [['_a=http://h/'], 'no name for a webhook of topic _a'],
      [['a'], 'TOPIC=URL'],
      [['a*=http://h/'], 'TOPIC=URL'],
      [['a='], 'TOPIC=URL']
    ]
    for (const [texts, words] of refusals) {
      const args = ['serve', '--print-config', ...texts.flatMap(text => ['--webhook', text])]
      const { code, stderr } = await runCommand(args)
      expect([code, stderr.includes(words)], stderr).to.deep.equal([2, true])
    }
  })
})
