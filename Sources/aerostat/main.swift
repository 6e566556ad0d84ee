print("aerostat")
