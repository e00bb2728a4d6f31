import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { segmentName } from '../../../src/producer/log/file-names.js'
import { directoriesOf, leftDirectories } from '../../../src/producer/log/orphaned-directories.js'

describe('directories of logs that no worker has any more', () => {
  const rootWith = (...names: string[]): string => {
    const root = mkdtempSync(join(tmpdir(), 'left-'))
    for (const name of names) {
      mkdirSync(join(root, name), { recursive: true })
      writeFileSync(join(root, name, segmentName(1)), '')
    }
    return root
  }

  it('one worker has the root itself, several have a directory each', () => {
    expect(directoriesOf('wal', 1)).to.deep.equal(['wal'])
    expect(directoriesOf('wal', 2)).to.deep.equal([join('wal', 'worker-1'), join('wal', 'worker-2')])
  })

  it('are those of workers beyond the number, and the root when there are several', () => {
    const root = rootWith('.', 'worker-1', 'worker-2', 'worker-3', 'worker-11')
    const left = (workers: number): string[] => leftDirectories(root, workers).sort()
    expect(left(1)).to.deep.equal([1, 11, 2, 3].map(number => join(root, `worker-${number}`)))
    expect(left(2)).to.deep.equal([root, join(root, 'worker-11'), join(root, 'worker-3')])
    expect(left(11)).to.deep.equal([root])
  })

  it('are none that are not logs, or hold nothing', () => {
    const root = rootWith('worker-x', 'worker-0', 'worker-01', 'other', 'old-worker-1', 'worker-1-old')
    mkdirSync(join(root, 'worker-2'))
    expect(leftDirectories(root, 1)).to.deep.equal([])
    expect(leftDirectories(join(root, 'nowhere'), 1)).to.deep.equal([])
  })

  it('are told apart from those of workers however the root is written', () => {
    const root = rootWith('worker-1')
    expect(leftDirectories(`${root}/../${root.split('/').at(-1)}/`, 2)).to.deep.equal([])
  })
})
