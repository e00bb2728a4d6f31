import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { explainConfig, loadConfig } from '../../../src/server/config/config.js'
import { toYaml } from '../../../src/server/config/print.js'
import { credentialOf, definitionsIn } from '../../../src/webhooks/definitions.js'
import { newSecret } from '../../../src/webhooks/endpoint/signature.js'

describe('the settings of webhooks', () => {
  let directory: string
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-webhooks-'))
  })
  after(() => rmSync(directory, { recursive: true }))

  const [secret, former] = [newSecret(), newSecret()]
  const file = (text: string, name: string): string => {
    const path = join(directory, name)
    writeFileSync(path, text)
    return path
  }
  const sourcesOf = (webhooks: object, environment: Readonly<Record<string, string>> = {}) => ({
    file: file(JSON.stringify({ webhooks }), 'castellan.json'),
    environment
  })
  const configOf = (...given: Parameters<typeof sourcesOf>) => loadConfig(sourcesOf(...given))
  const problemsOf = (...given: Parameters<typeof sourcesOf>): string[] => {
    try {
      configOf(...given)
      return []
    } catch (error) {
      const lines = (error as Error).message.split('\n')
      return lines.map(line => line.replaceAll(directory, 'DIR').replace(/ \(DIR\/castellan\.json, line 1\)$/, ''))
    }
  }
  const ofOrders = { CASTELLAN_WEBHOOKS_ORDERS_SECRET: secret }
  const orders = { topic: 'orders', url: 'https://api.example.com/hooks/orders' }
  const oneOf = (definition: object) => ({ definitions: { orders: { ...orders, ...definition } } })

  it('give a webhook all that it needs from its topic, its url and its secret', () => {
    const { webhooks, webhookFiles } = configOf(oneOf({}), ofOrders)
    expect(definitionsIn(webhooks)).to.deep.equal([
      {
        name: 'orders',
        cluster: 'default',
        ...orders,
        start: 'latest',
        order: 'key',
        format: 'value',
        contentType: 'application/octet-stream',
        timeoutMs: 15_000,
        maxInFlight: 16,
        deadLetters: undefined,
        maxAttempts: 20,
        paused: false
      }
    ])
    expect(webhookFiles).to.deep.equal({ secrets: { orders: [secret] }, ca: undefined })
    expect([webhooks.networks, webhooks.recordHeaders, webhooks.maxBodyBytes]).to.deep.equal([['public'], [], 1048576])
  })

  it('take two secrets from a file, the newest first', () => {
    const secretFile = file(`${secret}\n${former}\n`, 'two.secret')
    expect(configOf(oneOf({ secretFile })).webhookFiles?.secrets).to.deep.equal({ orders: [secret, former] })
  })

  it('are refused without a secret, in words that name both ways to give one', () => {
    expect(problemsOf(oneOf({}))).to.deep.equal([
      'webhooks.definitions.orders: has no secret; name a file with secretFile, or set CASTELLAN_WEBHOOKS_ORDERS_SECRET'
    ])
  })

  it('are refused with secrets that cannot sign, without showing them', () => {
    const at = 'webhooks.definitions.orders: '
    const wrong = 'must have one secret or two, each whsec_ and 24 to 64 bytes in base64'
    const texts = ['whsec_short', 'geheim', `${secret} ${former} ${secret}`, ' ', secret.slice(6)]
    for (const text of texts)
      expect(problemsOf(oneOf({}), { CASTELLAN_WEBHOOKS_ORDERS_SECRET: text }), text).to.deep.equal([
        `${at}CASTELLAN_WEBHOOKS_ORDERS_SECRET ${wrong}`
      ])
    const secretFile = file('geheim', 'bad.secret')
    expect(problemsOf(oneOf({ secretFile }))).to.deep.equal([`${at}secretFile: DIR/bad.secret ${wrong}, one a line`])
    expect(problemsOf(oneOf({ secretFile: join(directory, 'none') }))).to.deep.equal([
      `${at}secretFile: cannot read DIR/none (ENOENT)`
    ])
    expect(problemsOf(oneOf({ secretFile }), ofOrders)).to.deep.equal([
      `${at}secretFile: is given besides CASTELLAN_WEBHOOKS_ORDERS_SECRET; remove one of them`
    ])
  })

  it('are refused with files that are none, such as devices, or too large', () => {
    const told = (what: string) => `webhooks.definitions.orders: secretFile: cannot read ${what}`
    const isNone = '(it is not a regular file)'
    expect(problemsOf(oneOf({ secretFile: '/dev/null' }))).to.deep.equal([told(`/dev/null ${isNone}`)])
    expect(problemsOf(oneOf({ secretFile: directory }))).to.deep.equal([told(`DIR ${isNone}`)])
    const secretFile = file(`${secret}${' '.repeat(2 ** 20)}`, 'large.secret')
    expect(problemsOf(oneOf({ secretFile }))).to.deep.equal([told('DIR/large.secret (it has more than 1048576 bytes)')])
    const webhooks = { ...oneOf({}), tls: { ca: '/dev/null' } }
    expect(problemsOf(webhooks, ofOrders)).to.deep.equal([`webhooks.tls.ca: cannot use /dev/null ${isNone}`])
  })

  it('name a variable for a webhook that there is not', () => {
    expect(problemsOf({}, ofOrders)).to.deep.equal([
      'CASTELLAN_WEBHOOKS_ORDERS_SECRET: there is no such webhook among webhooks.definitions'
    ])
  })

  it('are checked by gateways only: other commands read the same file without secrets', () => {
    expect(loadConfig({ ...sourcesOf(oneOf({ cluster: 'eu' })), role: 'client' }).webhookFiles).to.equal(undefined)
  })

  it('are refused with one line for each mistake', () => {
    const mistakes: readonly (readonly [definition: object, line: string])[] = [
      [
        { topic: 'or.*' },
        'topic: name one topic, with a-z, A-Z, 0-9, ".", "_" and "-"; a pattern is not possible, got "or.*"'
      ],
      [{ topic: '__a' }, `topic: must not begin with __, as Kafka's own topics do, got "__a"`],
      [{ url: 'ftp://h/' }, 'url: write it as https://HOST/PATH'],
      [{ url: 'https://u@h/' }, 'url: must have no user and no password; name a credential'],
      [{ url: 'https://h/#a' }, 'url: must have no fragment (#…)'],
      [{ url: `https://h/${'a'.repeat(2048)}` }, 'url: is longer than 2048 bytes'],
      [
        { url: `https://h/${'ä'.repeat(1000)}` },
        'url: is longer than 2048 bytes as it is sent: its characters are escaped'
      ],
      [{ timeoutMs: 999 }, 'timeoutMs: must be at least 1000, got 999'],
      [{ maxInFlight: 257 }, 'maxInFlight: must be at most 256, got 257'],
      [{ start: 'now' }, 'start: expected `earliest`, `latest`, got "now"'],
      [{ cluster: 'eu' }, 'cluster: there is no cluster eu among clusters'],
      [{ deadLetters: 'orders' }, 'deadLetters: must be another topic than the one that is sent'],
      [
        { format: 'cloudevents', contentType: 'a/b' },
        'contentType: belongs to the format value; with cloudevents each record has its own'
      ],
      [{ credential: 'shop' }, 'credential: there is no shop among webhooks.credentials'],
      [{ credential: 'constructor' }, 'credential: there is no constructor among webhooks.credentials'],
      [{ group: 'g' }, 'group: no such setting']
    ]
    for (const [definition, line] of mistakes)
      expect(problemsOf(oneOf(definition), ofOrders)).to.deep.equal([`webhooks.definitions.orders.${line}`])
    const long = Object.fromEntries([['a'.repeat(64), orders]])
    for (const definitions of [{ Orders: orders }, { '-a': orders }, long])
      expect(problemsOf({ definitions })).to.deep.equal([
        `webhooks.definitions.${Object.keys(definitions)[0]}: name webhooks with a-z, 0-9 and - (not first), at most 63 characters`
      ])
  })

  it('are refused above 50 webhooks', () => {
    const names = Array.from({ length: 51 }, (_, at) => `w${at}`)
    const definitions = Object.fromEntries(names.map(name => [name, orders]))
    const environment = Object.fromEntries(
      names.map(name => [`CASTELLAN_WEBHOOKS_${name.toUpperCase()}_SECRET`, secret])
    )
    expect(problemsOf({ definitions }, environment)).to.deep.equal(['webhooks.definitions: has more than 50 webhooks'])
  })

  it('give a credential to urls within its own only', () => {
    const credentials = { shop: { type: 'bearer', token: 't', urls: ['https://api.example.com/hooks/'] } }
    const good = configOf({ ...oneOf({ credential: 'shop' }), credentials }, ofOrders)
    expect(credentialOf(good.webhooks, 'orders')).to.deep.equal({
      type: 'bearer',
      token: 't',
      urls: ['https://api.example.com/hooks/']
    })
    const wrong = { ...oneOf({ credential: 'shop', url: 'https://api.example.com/hooks/../admin' }), credentials }
    expect(problemsOf(wrong, ofOrders)).to.deep.equal([
      'webhooks.definitions.orders.url: must have no "..", "%2e" and "%2f" in its path where a credential is named'
    ])
  })

  it('want of each credential what its type needs, and nothing else', () => {
    const urls = ['https://a.example/']
    const all = { a: { type: 'bearer', username: 'u', urls }, b: { type: 'basic', token: 't', username: 'u', urls } }
    expect(problemsOf({ credentials: all })).to.deep.equal([
      'webhooks.credentials.a.token: is missing; the type bearer needs it',
      'webhooks.credentials.a.username: the type bearer has none',
      'webhooks.credentials.b.password: is missing; the type basic needs it',
      'webhooks.credentials.b.token: the type basic has none'
    ])
  })

  it('want credentials that fit into the header in which they are sent', () => {
    const urls = ['https://a.example/']
    const bearer = (token: string) => ({ type: 'bearer', token, urls })
    const basic = (username: string, password: string) => ({ type: 'basic', username, password, urls })
    const tokens = ['t\r\nx-evil: y', 't\n', 't\r', ' t', 't u', 'tü', 'tĊu', 't\u0000']
    for (const token of tokens)
      expect(problemsOf({ credentials: { a: bearer(token) } }), JSON.stringify(token)).to.deep.equal([
        'webhooks.credentials.a.token: must be one word of ASCII: without spaces, line breaks and other characters'
      ])
    expect(problemsOf({ credentials: { a: basic('u:v', 'p') } })).to.deep.equal([
      'webhooks.credentials.a.username: must have no colon, which ends the name where it is sent'
    ])
    for (const text of ['p\n', 'p\u007f', '\u0000'])
      expect(problemsOf({ credentials: { a: basic(text, text) } }), JSON.stringify(text)).to.deep.equal([
        'webhooks.credentials.a.username: must have no line break and no other control character',
        'webhooks.credentials.a.password: must have no line break and no other control character'
      ])
    expect(problemsOf({ credentials: { a: bearer('a-_~+/.:=='), b: basic('ü u', 'p:q ü') } })).to.deep.equal([])
    const [most, more] = ['t'.repeat(2_048 - 'Bearer '.length), 't'.repeat(2_048)]
    expect(problemsOf({ credentials: { a: bearer(most) } })).to.deep.equal([])
    expect(problemsOf({ credentials: { a: bearer(more), b: basic('u', more) } })).to.deep.equal([
      'webhooks.credentials.a.token: is too long: its header has at most 2048 bytes',
      'webhooks.credentials.b.password: is too long: its header has at most 2048 bytes'
    ])
  })

  it('refuse headers that carry credentials or the signature', () => {
    const names = ['x-shop', 'Webhook-Id', 'authorization', 'x-castellan-offset']
    const cannot =
      'cannot pass between requests and records: it has credentials, belongs to one connection, or describes its message, as attributes of CloudEvents do'
    expect(problemsOf({ recordHeaders: names })).to.deep.equal([
      'webhooks.recordHeaders.1: "Webhook-Id" is one of the signature',
      `webhooks.recordHeaders.2: "authorization" ${cannot}`,
      `webhooks.recordHeaders.3: "x-castellan-offset" ${cannot}`
    ])
  })

  it('refuse headers that are none, each by its name', () => {
    const names = ['a b', '', 'ü', 'x:', 'x\r\ny']
    expect(problemsOf({ recordHeaders: names })).to.deep.equal(
      names.map((name, at) => `webhooks.recordHeaders.${at}: ${JSON.stringify(name)} is not the name of a header`)
    )
  })

  it('refuse networks and certificate authorities that are none', () => {
    const ca = file('no certificate', 'ca.pem')
    const broken = file('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', 'broken.pem')
    expect(problemsOf({ networks: ['public', 'private'] })).to.deep.equal([
      'webhooks.networks.1: write public, or ADDRESS/BITS, for example 10.0.0.0/8, got "private"'
    ])
    expect(problemsOf({ tls: { ca } })).to.deep.equal(['webhooks.tls.ca: DIR/ca.pem has no certificate in PEM form'])
    expect(problemsOf({ tls: { ca: broken } })[0]).to.match(/^webhooks\.tls\.ca: cannot use DIR\/broken\.pem \(/)
  })

  it('are printed without urls, tokens and secrets', () => {
    const credentials = { shop: { type: 'bearer', token: 'geheim', urls: ['https://api.example.com/hooks'] } }
    const { config, originOf } = explainConfig(sourcesOf({ ...oneOf({ credential: 'shop' }), credentials }, ofOrders))
    const printed = toYaml(config, originOf)
    for (const hidden of [secret, 'geheim', 'hooks/orders', 'webhookFiles']) expect(printed).not.to.contain(hidden)
    expect(printed).to.contain('topic: orders')
  })
})
