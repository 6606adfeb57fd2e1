export abstract class Input {}
