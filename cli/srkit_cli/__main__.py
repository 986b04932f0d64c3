from srkit_cli.app import main

main()
