import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { Children } from './child.js'

describe('completion in the shell', function () {
  this.timeout(60_000)
  const children = new Children()
  afterEach(() => children.stopAll())

  async function complete(...words: string[]): Promise<string[]> {
    const child = children.start(['complete', '--', ...words])
    expect([await child.exit(), child.stderr]).to.deep.equal([0, ''])
    return child.lines.map(line => line.split('\t')[0]!)
  }

  it('offers commands, flags and the values of a flag', async () => {
    expect(await complete('')).to.include.members(['serve', 'read', 'topics', 'broker'])
    expect(await complete('re')).to.deep.equal(['read', 'receipt', 'receive', ':4'])
    expect(await complete('read', '--fo')).to.deep.equal(['--follow', '--format', ':4'])
    expect(await complete('read', 'orders', '--format', '')).to.deep.equal(['value', 'key-value', 'json', ':4'])
    expect(await complete('completion', '')).to.deep.equal(['bash', 'zsh', 'fish', ':4'])
  })

  it('offers the flags of serve where no command is named', async () => {
    expect(await complete('--embedded-d')).to.deep.equal(['--embedded-dir', ':4'])
  })

  it('leaves files and directories to the shell', async () => {
    expect(await complete('serve', '--config', '')).to.deep.equal([':0'])
    expect(await complete('broker', '--dir', 'da')).to.deep.equal([':0'])
  })

  it('is a script that bash runs', async () => {
    const script = children.start(['completion', 'bash'])
    expect(await script.exit()).to.equal(0)
    const directory = mkdtempSync(join(tmpdir(), 'castellan-completion-'))
    try {
      const file = join(directory, 'castellan')
      writeFileSync(file, script.lines.join('\n'))
      // What bash-completion and the command would do.
      const shell = `
        source ${file}
        _get_comp_words_by_ref() { cur=--fo; words=(castellan read --fo); }
        compopt() { :; }
        castellan() { printf '%s\\n' '--follow' '--format' ':4'; }
        __castellan_complete
        echo "\${COMPREPLY[@]}"`
      expect(execFileSync('bash', ['-c', shell], { encoding: 'utf8' })).to.equal('--follow --format\n')
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  it('writes a script for each shell it names', async () => {
    for (const [shell, word] of [
      ['zsh', '#compdef castellan'],
      ['fish', 'complete -c castellan']
    ] as const) {
      const child = children.start(['completion', shell])
      expect(await child.exit()).to.equal(0)
      expect(child.lines.join('\n')).to.contain(word)
    }
  })
})
