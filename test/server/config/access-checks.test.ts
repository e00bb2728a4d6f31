import { createHash } from 'node:crypto'
import { expect } from 'chai'
import { warnings } from '../../../src/server/config/checks.js'
import { configOf, TestFolder } from '../../support/access.js'
import { checkRows } from '../../support/rows.js'

describe('settings of the listeners', () => {
  const folder = new TestFolder()
  after(() => folder.remove())
  const problemsOf = (settings: object): string[] => {
    try {
      configOf(folder, settings)
      return []
    } catch (error) {
      return (error as Error).message.split('\n')
    }
  }
  const sha256 = 'a'.repeat(64)
  const auth = { tokens: [{ principal: 'shop', sha256 }] }
  const rules = [{ principals: ['shop'], operations: ['produce'], topics: ['orders'] }]

  const hosts: [string, object][] = [
    ['http.host', { http: { host: '0.0.0.0' } }],
    ['management.host', { management: { host: '0.0.0.0' } }],
    ['apis.kprf.host', { apis: { kprf: { host: '0.0.0.0', port: 0 } } }]
  ]
  for (const [name, settings] of hosts) {
    it(`${name} may be reached by other machines once clients must authenticate`, () => {
      const [problem, ...others] = problemsOf(settings)
      expect(problem).to.match(
        new RegExp(`^${name.replaceAll('.', '\\.')}: 0\\.0\\.0\\.0 can be reached .* \\(auth\\)`)
      )
      expect(others).to.deep.equal([])
      expect(problemsOf({ ...settings, auth })).to.deep.equal([])
    })
  }

  it('embedded.host may not: the embedded broker does not authenticate', () => {
    expect(problemsOf({ embedded: { host: '0.0.0.0' }, auth })).to.have.length(1)
    expect(problemsOf({ embedded: { host: '0.0.0.0' }, auth, http: { allowAnonymous: true } })).to.deep.equal([])
  })

  const wrong: [string, object, RegExp][] = [
    [
      'a certificate without its key',
      { http: { tls: { certFile: 'c' } } },
      /^http\.tls: certFile and keyFile go together/
    ],
    [
      'client certificates without TLS',
      { http: { tls: { clientAuth: 'required' } } },
      /^http\.tls: client certificates need TLS/
    ],
    [
      'client certificates without an authority',
      { management: { tls: { certFile: 'c', keyFile: 'k', clientAuth: 'optional' } } },
      /^management\.tls\.caFile: is missing/
    ],
    [
      'certificates no listener asks for',
      { auth: { certificates: [{ commonName: 'a' }] } },
      /^auth\.certificates: no listener/
    ],
    [
      'a certificate by two names',
      { auth: { certificates: [{ commonName: 'a', alternativeName: 'DNS:b' }] } },
      /either commonName or/
    ],
    [
      'a principal called anonymous',
      { auth: { tokens: [{ principal: 'anonymous', sha256 }] } },
      /anonymous is the name of/
    ],
    ['a principal that could fake log lines', { auth: { tokens: [{ principal: 'a\nb', sha256 }] } }, /printable/],
    [
      'the hash that our examples once showed, in any spelling',
      {
        auth: { tokens: [{ principal: 'a', sha256: createHash('sha256').update('test').digest('hex').toUpperCase() }] }
      },
      /word "test".*castellan token makes/
    ],
    ['a hash that is none', { auth: { tokens: [{ principal: 'a', sha256: 'abc' }] } }, /64 hexadecimal digits/],
    [
      'a password hash that would take for ever',
      {
        auth: { users: [{ username: 'a', passwordHash: `$scrypt$ln=30,r=8,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}` }] }
      },
      /too expensive/
    ],
    [
      'an unknown kind of hash',
      { auth: { users: [{ username: 'a', passwordHash: '$2b$10$abc' }] } },
      /castellan password/
    ],
    [
      'a user twice',
      {
        auth: {
          users: [1, 2].map(() => ({
            username: 'a',
            passwordHash: `$scrypt$ln=15,r=8,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`
          }))
        }
      },
      /^auth\.users: a occurs twice/
    ],
    [
      'keys over plain HTTP',
      { auth: { issuers: [{ issuer: 'i', audience: 'a', jwksUrl: 'http://example.com/' }] } },
      /must be an https:/
    ],
    ['keys from nowhere', { auth: { issuers: [{ issuer: 'i', audience: 'a' }] } }, /either jwksUrl or jwksFile/],
    [
      'a shared secret as a signature',
      { auth: { issuers: [{ issuer: 'i', audience: 'a', jwksFile: 'f', algorithms: ['HS256'] }] } },
      /^auth\.issuers/
    ],
    [
      'no signature',
      { auth: { issuers: [{ issuer: 'i', audience: 'a', jwksFile: 'f', algorithms: ['none'] }] } },
      /^auth\.issuers/
    ],
    [
      'produce without topics',
      { access: { rules: [{ principals: ['a'], operations: ['produce'] }] } },
      /^access\.rules\.0\.topics: name the topics/
    ],
    [
      'offsets without groups',
      { access: { rules: [{ principals: ['a'], operations: ['offsets'], topics: ['t'] }] } },
      /offsets needs topics and groups/
    ],
    [
      'register without subjects',
      { access: { rules: [{ principals: ['a'], operations: ['register'], topics: ['t'] }] } },
      /^access\.rules\.0\.subjects: name the subjects/
    ],
    [
      'an unknown operation',
      { access: { rules: [{ principals: ['a'], operations: ['write'], topics: ['t'] }] } },
      /^access\.rules/
    ],
    [
      'a mode that is none',
      { http: { unixSocketMode: 'rw' } },
      /^http\.unixSocketMode: write it as three octal digits/
    ],
    [
      'a principal of a socket that is not there',
      { auth: { unixSocketPrincipal: 'local' } },
      /there is no http\.unixSocket/
    ],
    [
      'a quota of nothing',
      { quotas: { perPrincipal: { recordsPerSecond: 0 } } },
      /^quotas\.perPrincipal\.recordsPerSecond: must be at least 1/
    ]
  ]
  it('each wrong setting is one problem, which names it', () =>
    checkRows(wrong, ([, settings, expected]) => {
      const problems = problemsOf(settings)
      expect(problems).to.have.length(1)
      expect(problems[0]).to.match(expected)
    }))

  it('are warned of when credentials can be read on the network, and when no rule allows anything', () => {
    const open = configOf(folder, { http: { host: '0.0.0.0' }, auth, access: { rules } })
    expect(warnings(open)).to.deep.equal(['http.host is 0.0.0.0 without TLS: credentials can be read on the network'])
    expect(warnings(configOf(folder, { auth }))).to.deep.equal([
      'access.rules is empty: clients must authenticate, and no rule allows them anything'
    ])
    expect(warnings(configOf(folder, { auth, access: { rules } }))).to.deep.equal([])
  })

  it('still name the addresses that are open without authentication', () => {
    const config = configOf(folder, { http: { host: '0.0.0.0', allowAnonymous: true }, auth, access: { rules } })
    expect(warnings(config)[0]).to.match(/^http\.host is 0\.0\.0\.0: clients that can reach it can use it/)
  })
})
