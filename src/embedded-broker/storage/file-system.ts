import * as fs from 'node:fs'

/** The file operations of the storage; a test replaces them by a disk that is full. */
export type FileSystem = Pick<
  typeof fs,
  | 'closeSync'
  | 'existsSync'
  | 'fstatSync'
  | 'ftruncateSync'
  | 'mkdirSync'
  | 'openSync'
  | 'readdirSync'
  | 'readFileSync'
  | 'readSync'
  | 'renameSync'
  | 'rmSync'
  | 'statSync'
  | 'writeFileSync'
  | 'writeSync'
>

export const nodeFileSystem: FileSystem = fs

/** Only for the user who runs the broker. */
export const FILE_MODE = 0o600
export const FOLDER_MODE = 0o700
